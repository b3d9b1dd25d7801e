//! A runtime in which everything that could differ between two runs comes from a seed: which task goes on next, how much
//! time passes, and every random number. Time is virtual and costs nothing.
//!
//! tokio's own paused clock was not enough for a simulation that is to be replayed: its `watch` and `select!` draw random
//! numbers whose seed can be set in unstable builds only, it runs tasks in one fixed order, and it can neither end nor halt
//! the tasks of one node. Here
//!
//! - ready tasks form a set, and the seed says which one goes on: one seed one order, many seeds many orders. In which
//!   order they were woken does not matter, so tokio's channels can be used as they are;
//! - tasks belong to a [`Group`], which is a node: [`kill`] ends it between two polls without a word to anybody, as a power
//!   cut does, and [`pause`] halts it, as SIGSTOP does;
//! - a poll takes a few virtual microseconds, so that messages and timers also come in between.
//!
//! It goes by tokio's names (`spawn`, `time`, `sync`, `select!`) so that files of the product that use those few can be
//! compiled against it, and it is openraft's runtime as [`Simulated`].

mod core;
mod executor;
mod group;
mod random;
mod simulated;
pub mod task;
pub mod time;

pub use self::core::{current_group, fingerprint, spawn, spawn_in, steps, take_panics};
pub use self::executor::Executor;
pub use self::group::{Group, kill, pause, resume};
pub use self::random::Random;
pub use self::simulated::{Simulated, SimulatedRandom};
pub use self::task::{JoinError, JoinHandle};
pub use tokio::{select, sync};
