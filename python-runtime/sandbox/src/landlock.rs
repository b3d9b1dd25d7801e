//! Landlock as data: which rights there are in which version, and what a rule grants.

use serde::Serialize;

const EXECUTE: u64 = 1 << 0;
const WRITE_FILE: u64 = 1 << 1;
const READ_FILE: u64 = 1 << 2;
const READ_DIRECTORY: u64 = 1 << 3;
const MAKE_CHARACTER_DEVICE: u64 = 1 << 6;
const MAKE_BLOCK_DEVICE: u64 = 1 << 11;
/// All of the first version: the bits 0 to 12.
const FIRST: u64 = (1 << 13) - 1;
/// To other directories, from version 2 on.
const REFER: u64 = 1 << 13;
/// From version 3 on.
const TRUNCATE: u64 = 1 << 14;
/// From version 5 on.
const DEVICE_CONTROL: u64 = 1 << 15;
/// From version 6 on: no abstract socket of others, no signal to others.
const SCOPES: u64 = 0b11;

/// What a rule grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Access {
    /// Names in a directory and all below it.
    List,
    /// To read, and to execute.
    Read,
    /// A device that everybody may write to.
    Device,
    /// Everything but devices.
    Write,
}

/// What a worker asks of the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ruleset {
    /// The rights that are refused where no rule grants them.
    pub handled: u64,
    /// What ends at the worker.
    pub scoped: u64,
    /// The rights that a file can have; the others are for directories.
    pub of_files: u64,
    /// Paths, each with the rights that it grants, below it, too. One that is not there is passed over.
    pub rules: Vec<(String, u64)>,
}

/// The rights that this version knows.
pub(crate) fn handled(version: u32) -> u64 {
    let mut rights = FIRST;
    for (since, right) in [(2, REFER), (3, TRUNCATE), (5, DEVICE_CONTROL)] {
        if version >= since {
            rights |= right;
        }
    }
    rights
}

pub(crate) fn scoped(version: u32) -> u64 {
    if version >= 6 { SCOPES } else { 0 }
}

pub(crate) const OF_FILES: u64 = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | DEVICE_CONTROL;

impl Access {
    pub(crate) fn rights(self, version: u32) -> u64 {
        let rights = match self {
            Self::List => READ_DIRECTORY,
            Self::Read => READ_DIRECTORY | READ_FILE | EXECUTE,
            Self::Device => READ_FILE | WRITE_FILE | TRUNCATE | DEVICE_CONTROL,
            Self::Write => !(MAKE_CHARACTER_DEVICE | MAKE_BLOCK_DEVICE),
        };
        rights & handled(version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_refuses_all_that_it_knows_and_nothing_else() {
        assert_eq!(handled(1), 0x1fff);
        assert_eq!((handled(2), handled(3), handled(4)), (0x3fff, 0x7fff, 0x7fff));
        assert_eq!((handled(5), handled(7)), (0xffff, 0xffff));
        assert_eq!((scoped(5), scoped(6), scoped(7)), (0, 3, 3));
    }

    #[test]
    fn nothing_that_is_only_read_can_be_written() {
        for version in 1..=7 {
            let (read, list) = (Access::Read.rights(version), Access::List.rights(version));
            assert_eq!((read, list), (0b1101, 0b1000));
            assert_eq!(Access::Device.rights(version) & (EXECUTE | READ_DIRECTORY), 0);
            let write = Access::Write.rights(version);
            assert_eq!(write & (MAKE_CHARACTER_DEVICE | MAKE_BLOCK_DEVICE), 0);
            assert_eq!(write | handled(version), handled(version), "the kernel refuses what it does not know");
        }
        assert_eq!(Access::Write.rights(7) & TRUNCATE, TRUNCATE);
    }
}
