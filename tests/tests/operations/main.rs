//! What an operator looks at before and beside a node: a cluster to try things, a demonstration, configurations, and what is wrong.

mod config;
mod demo;
mod dev;
mod doctor;
