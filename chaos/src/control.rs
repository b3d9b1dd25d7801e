//! Controls: what shows that a check can see what it is to see.
//!
//! A check that finds nothing has found nothing only where it would have found something. `Simulation` gives histories that are
//! right, `Mutant` plants a fault that no correct system can have produced, in those or in a recorded one; `Miscount` does that in the
//! account of a run. `no_sync` starts nodes whose syncs do
//! nothing.

mod chance;
mod miscount;
mod mutant;
pub(crate) mod no_sync;
mod register;
mod simulation;
#[cfg(test)]
mod tests;

pub use chance::Chance;
pub use miscount::Miscount;
pub use mutant::{Mutant, Planted};
pub use register::Register;
pub use simulation::{Simulated, Simulation, Values};
