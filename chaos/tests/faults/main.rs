//! Each fault is real: what it is to break breaks, and is whole again afterwards. Where a machine cannot have it, the test says
//! "skipped: why".

mod child;
mod clock;
mod full_disk;
mod kill;
mod network;
mod pause;
mod power_cut;
mod read_only;
mod skip;
