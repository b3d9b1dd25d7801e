//! The commands, one file each.

pub mod completion;
pub mod eval;
pub mod local;
pub mod run;
