//! The pools of a node through the public surface: `dspex pool`, `dspex worker`, the gRPC service, and `dspex node`.

mod bulkheads;
mod calls;
mod crash_loops;
mod faults;
mod limits;
mod operators;
mod programs;
mod standalone;
mod subject;
