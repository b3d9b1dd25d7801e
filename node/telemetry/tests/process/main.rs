//! Telemetry is one for each process, and reads its environment: each test starts a process of its own and looks at what comes out.

#![allow(clippy::print_stdout, reason = "the processes tell their tests what they saw")]

mod collector;
mod export;
mod logs;
mod metrics;
mod node;
mod secrets;
