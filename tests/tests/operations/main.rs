//! What an operator looks at before and beside a node: a cluster to try things, configurations, and what is wrong.

mod config;
mod dev;
mod doctor;
