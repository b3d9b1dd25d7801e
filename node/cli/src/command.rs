//! The commands, one file each.

pub mod completion;
pub mod eval;
pub mod local;
pub mod pool;
pub mod run;
pub mod worker;
