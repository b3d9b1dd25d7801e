//! A run over all nodes of a cluster while they break, and whether it came to what it comes to where nothing breaks.
//!
//! ```text
//! the run alone on one node ---- its score and digest --------------------------+
//! the run on all nodes ---- faults, one after the other ---- the run's end ---- account ---- promises
//! every execution writes a line to a file that all nodes share -----------------+
//! ```
//!
//! | File | Does |
//! |---|---|
//! | `account` | all that is known of a run in the end, as data |
//! | `shape` | how many nodes a cluster has, and how many of them vote (pure) |
//! | `project` | the program, its examples, and the file that counts executions |
//! | `asking` | submits the run and asks voters about it |
//! | `disturbed` | the faults, while the run is under way |
//! | `play` | all of it, in its phases |

mod account;
mod asking;
mod disturbed;
mod play;
mod project;
mod shape;

pub use account::{Account, Disturbance, Execution, Gist};
pub use play::{Options, Played, play};
pub use shape::Shape;
