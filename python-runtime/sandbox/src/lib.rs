//! What the code of a program may do on the machine of a `dspex node`, as data, and who watches over the part of it that
//! only another process can judge.
//!
//! ```text
//! Settings, Places ── rules ────> Landlock: what may be read and written         ┐
//!          Kernel ── filter ───> seccomp: which system calls there are           ├─ Order, applied by the worker itself
//!        Settings ── limits ───> rlimits                                         ┘  after its fork, before any user code
//!
//!   Judge ── supervision ──> connect(2), chmod(2), ...: the node looks, and does it in the worker's place
//! ```
//! Which paths, rights and system calls is computed by pure functions; this room makes no process and knows no Python. What an
//! order means to the worker is in `PROTOCOL.md`.

mod filter;
mod judge;
mod kernel;
mod landlock;
mod order;
mod own_directory;
mod real_path;
mod rules;
mod settings;
mod supervision;
mod system;

pub use filter::Architecture;
pub use judge::{Endpoints, Judge};
pub use kernel::Kernel;
pub use landlock::Ruleset;
pub use order::{Limits, Order};
pub use own_directory::{OwnDirectories, OwnDirectory, Usage};
pub use real_path::real_path;
pub use rules::{Places, system_tree};
pub use settings::{Network, Settings};
pub use supervision::{Listener, supervise};
