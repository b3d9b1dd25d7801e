//! The worker protocol of `PROTOCOL.md`: what a node, its zygotes and their workers say to each other.
//!
//! Kinds are never reused. The golden bytes in the tests pin this end to `python/dspex/runtime/protocol.py`.

mod calls;
mod framing;
mod load;
mod worker;
mod zygote;

pub use calls::{
    Answer, Ask, Call, CallSession, Calls, Define, Outcome, Replies, Reply, Returned, Serve, Serving, SessionChanges,
};
pub use framing::{FrameError, FrameReader, MAXIMUM_FRAME_BYTES};
pub use load::{InputsFrom, Load, LoadFailed, LoadFailedKind, Loaded, Number};
pub use worker::{
    Example, ExampleFailure, ExampleResult, Execute, Fatal, FromWorker, Hello, Ping, Pong, Results, Rows, ScoreKind,
    Threads, ToWorker,
};
pub use zygote::{Exited, Fork, ForkFailed, Forked, FromZygote, Kill, Ready, Refused, RefusedKind, SumRule, ToZygote};

/// The version that both sides name in their first frame.
pub const PROTOCOL_VERSION: u32 = 1;

#[cfg(test)]
mod tests;
