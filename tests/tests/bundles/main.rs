//! Code that is sent to a node which does not share the caller's file system: the project as a bundle, the environment by its
//! fingerprint, and what never leaves the machine.

mod archive;
mod environments;
mod hostile;
mod refusals;
mod resume;
mod shipping;
mod strategy;
mod subject;
