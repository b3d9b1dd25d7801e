//! The project that a program belongs to, on its way to a node that does not share this machine's file system.
//!
//! Which directory it is (`root`), what of it is sent (`left_out`, `ignored`, `walk`), what may not be sent (`packing`), what
//! the program needs of an environment (`needs`), and how what was typed is meant there (`references`).

mod ignored;
mod largest;
mod left_out;
mod needs;
mod packing;
mod places;
mod root;
mod shipping;
mod upload;
mod walk;

pub use packing::{Wanted, pack_project};
pub use shipping::{Asked, Sent, ship};
pub use upload::{Limit, Stored, send};
