//! Every kind of fault at real nodes, for a few seconds each, and the controls: what is to be found is found.

mod controls;
mod every_kind;
mod following;
mod places;
mod runs;
mod sessions;
#[path = "../faults/skip.rs"]
mod skip;
