//! At a node's start: find and kill what its crashed predecessor left, and nothing else.
//!
//! A process is killed when its (pid, start ticks, boot id) is registered, or when its process group is a registered one that is
//! certainly still ours: the group's leader is the registered process, or the member carries the instance token of the crashed
//! node in its environment. A child that has left the group and a child that was given an empty environment after its leader
//! died are not found; they are left alone rather than guessed at.

use std::fs;
use std::io;
use std::path::Path;

use super::Entry;
use crate::process::{OwnedGroup, boot_id, kill_groups};

/// What a clean-up found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cleanup {
    /// Registered processes of an earlier instance of this node.
    pub registered: Vec<Entry>,
    /// The pids that were killed: registered ones and members of their groups.
    pub killed: Vec<u32>,
    /// Registered processes that still run: killing them was not permitted. Their entries stay.
    pub surviving: Vec<Entry>,
}

/// Kills what an earlier, crashed instance left behind. The caller holds the lock of the data directory: every entry
/// is of an instance that is gone. A directory that does not exist holds nothing.
pub fn clean_up_orphans(directory: &Path) -> io::Result<Cleanup> {
    let files = match super::read(directory) {
        Ok(files) => files,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Cleanup::default()),
        Err(error) => return Err(error),
    };
    let registered: Vec<Entry> = files.iter().filter_map(|(_, entry)| entry.clone()).collect();
    let groups: Vec<OwnedGroup> = registered
        .iter()
        .filter(|entry| entry.boot_id == boot_id())
        .map(|entry| OwnedGroup { leader: entry.fingerprint(), instance: entry.instance.clone() })
        .collect();
    let killed = if groups.is_empty() { Vec::new() } else { kill_groups(&groups) };
    let surviving: Vec<Entry> = registered
        .iter()
        .filter(|entry| entry.boot_id == boot_id() && entry.fingerprint().is_running())
        .cloned()
        .collect();
    for (path, entry) in files {
        if entry.is_none_or(|entry| !surviving.contains(&entry)) {
            fs::remove_file(path)?;
        }
    }
    Ok(Cleanup { registered, killed, surviving })
}
