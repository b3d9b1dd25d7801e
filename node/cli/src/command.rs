//! The commands, one file each.

pub mod audit;
pub mod calling;
pub mod cert;
pub mod cluster;
pub mod completion;
pub mod config;
pub mod doctor;
pub mod env;
pub mod eval;
pub mod execution;
pub mod local;
pub mod member;
pub mod pool;
pub mod program;
pub mod run;
pub mod session;
pub mod snapshot;
pub mod token;
pub mod variable;
pub mod worker;
