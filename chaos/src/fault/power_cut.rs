//! The power fails: whatever was not synced is gone, and until the disk is mounted again every call on it gives EIO.
//!
//! ext4 shuts down without writing its journal back; `Disk::mount_again` replays what had been committed.
//!
//! A process on the disk must be killed before, for power fails for both at once. On Linux 6.18 an fdatasync that is under way
//! while ext4 is shut down can return success although its data is gone (4 of 200 shutdowns under a writer, always its last
//! write; none of 400 when the writer was killed first): a process that lives on acknowledges what no disk holds, which no loss
//! of power can make it do.

use std::ffi::OsStr;

use super::command::{are_installed, run};
use super::{Disk, FaultError};

/// EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH. By perl, which every Debian has: an ioctl is not to be had in safe Rust.
const SHUT_DOWN: &str = r#"
my $without_flush = pack("L", 2);
open(my $disk, "<", $ARGV[0]) or die "open: $!\n";
ioctl($disk, 0x8004587d, $without_flush) or die "EXT4_IOC_SHUTDOWN: $!\n";
"#;

/// Why the power cannot be cut here.
pub fn probe() -> Result<(), String> {
    are_installed(&[("perl", "perl-base")])?;
    Disk::probe()?;
    let disk = Disk::new(8).map_err(|error| error.to_string())?;
    cut_power(&disk).map_err(|error| error.to_string())
}

/// Cuts the power of a disk.
pub fn cut_power(disk: &Disk) -> Result<(), FaultError> {
    let words = ["perl", "-e", SHUT_DOWN].map(OsStr::new);
    run(&[&words[..], &[disk.path().as_os_str()]].concat()).map(|_| ())
}
