//! The harness of the black-box suites: real homes, real nodes, real Python, driven as a person or a script would.
//!
//! It knows the program by its path and the contract by `dspex-api`; nothing of what is inside. Which program and which
//! interpreter: `DSPEX_TEST_PROGRAM`, else `dspex` of the target directory; `DSPEX_TEST_PYTHON`, else `.venv/bin/python`.

mod cluster;
mod collector;
mod command;
mod eval;
mod executions;
mod fields;
mod home;
mod mount;
mod node;
mod output;
pub mod places;
mod ports;
pub mod process;
mod project;
mod python;
mod reference;
mod seed;
mod skip;
pub mod sockets;
mod waiting;

pub use cluster::{Cluster, ClusterNode};
pub use collector::{Collector, Span};
pub use command::{Dspex, Running};
pub use eval::Eval;
pub use executions::Executions;
pub use fields::expect_fields;
pub use home::Home;
pub use mount::Mount;
pub use output::Output;
pub use ports::free_port;
pub use project::Project;
pub use python::python;
pub use reference::{Case, Reference, dspy_evaluate};
pub use seed::Seed;
pub use skip::skip;
pub use waiting::{holds_within, wait_until};
