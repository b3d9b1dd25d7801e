//! Runs Python for a node: zygotes, the workers forked from them, the framed protocol to both, and the registry of their
//! processes on disk.
//!
//! This room knows processes, sockets and `/proc`. It does not know what a run is, who the actors are, or what is stored:
//! whoever owns a worker sends it frames and reads its events. The wire contract is `PROTOCOL.md`.

pub mod environment;
mod facts;
mod memory;
mod output;
pub mod package;
mod process;
pub mod protocol;
pub mod registry;
mod sandbox;
mod worker;
mod zygote;
mod zygotes;

pub use environment::{Environment, startup_environment};
pub use facts::Facts;
pub use memory::{MemoryLimit, beyond_limit, memory_of, probe_cgroup, probe_process_cgroup, remove_left_groups};
pub use output::{OutputLine, OutputTail};
pub use package::Package;
pub use process::{Fingerprint, boot_id, start_ticks};
pub use registry::{Cleanup, Registry, clean_up_orphans};
pub use sandbox::{Sandbox, SandboxSetup};
pub use worker::{EndReason, Ended, ForkError, SendError, WorkerEvent, WorkerHandle, WorkerProcess};
pub use zygote::{StartError, Zygote};
pub use zygotes::{Limits, Zygotes};
