//! A project as one archive: what may be in it, how it becomes bytes and a directory again, and the search for secrets before
//! it leaves the machine.
//!
//! Both ends use this room, so that what one packs the other takes: `dspex` (or a Python program's client process) on the
//! caller's machine, and the node that executes. It knows no other room; which files belong to a project, where bundles are
//! kept and who uses them is decided elsewhere.

mod archive;
mod entry;
mod limits;
mod links;
mod path;
mod refusal;
mod removal;
mod secrets;
mod stamp;
mod table;
mod unpacking;

pub use archive::{Archive, Item, pack};
pub use entry::{Entry, Kind};
pub use limits::{BYTES_DEFAULT, FILES_MAX, Limits, PATH_BYTES_MAX};
pub use links::{LinkFault, inside};
pub use path::{PathFault, check as check_path};
pub use refusal::Refusal;
pub use removal::remove;
pub use secrets::{Found, NOT_SECRET_VARIABLE, Secrets};
pub use stamp::{Stamp, stamp};
pub use unpacking::unpack;
