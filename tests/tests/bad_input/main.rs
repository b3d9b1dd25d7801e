//! Bad input gets a clear error with the contract's exit code, and nothing is lost by it.

mod case;
mod corruption;
mod data_directory;
mod datasets;
mod disk;
mod interpreters;
mod programs;
mod secrets;
mod usage;
