//! The pools of a node through the public surface: `dspex pool`, `dspex worker`, the gRPC service, and `dspex node`.

mod calls;
mod faults;
mod limits;
mod operators;
mod programs;
mod standalone;
mod subject;
