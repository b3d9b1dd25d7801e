//! Faults of the real kinds, one file each: no process is told that it is tested.
//!
//! Each file has a `probe` that says why its fault cannot be had on this machine, so that a scenario can be skipped
//! loudly. What a fault changes it puts back when its value is dropped; a run that is killed itself leaves things behind, whose
//! names begin with `dspex-`, `dx` (namespaces, links) or lie in a temporary directory of such a name.
//!
//! | File | Fault | Needs |
//! |---|---|---|
//! | `kill` | a process is gone (SIGKILL) | |
//! | `pause` | a process stands still (SIGSTOP) | |
//! | `power_cut` | what was not synced is gone | root, loop devices, ext4, perl |
//! | `full_disk` | ENOSPC | root, loop devices, ext4 |
//! | `read_only` | EROFS | root, loop devices, ext4 |
//! | `network` | hosts and ways between hosts are cut | root, ip, nft, nsenter |
//! | `clock` | the wall clock jumps | libfaketime |

pub mod clock;
mod command;
mod disk;
mod error;
pub mod full_disk;
pub mod kill;
pub mod network;
pub mod pause;
pub mod power_cut;
mod process;
pub mod read_only;

pub(crate) use command::wait as wait_for_child;
pub use disk::Disk;
pub use error::FaultError;
