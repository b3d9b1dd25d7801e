//! Executions: what was called is found again, by whatever it is looked for, on every node and after every loss.

mod cluster;
mod embedded;
mod pages;
mod subject;
