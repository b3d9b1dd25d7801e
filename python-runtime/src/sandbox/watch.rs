//! Looks after what workers keep on the disk. There is no quota for a directory: whoever keeps more than it may is ended.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use dspex_sandbox::{OwnDirectory, Usage};

use crate::process::children;
use crate::worker::Control;

/// How often the file system is asked how full it is.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often directories are measured though the file system says that nothing has grown.
const MEASURE_EVERY: Duration = Duration::from_secs(10);
/// What all may grow by until they are measured.
const GROWTH_MAX: u64 = 64 << 20;
/// Measuring takes no more of the time than a part of so many.
const REST: u32 = 10;
/// Of blocks, as the kernel counts them.
const BLOCK: u64 = 512;
/// As `/proc/PID/fd` and `/proc/PID/maps` mark what has no name any more.
const DELETED: &str = " (deleted)";

/// A worker whose directory is measured.
#[derive(Debug)]
pub(super) struct Watched {
    pub own: Weak<OwnDirectory>,
    pub worker: u32,
    pub control: Weak<Control>,
}

/// The workers of a node. It looks as long as this lives.
#[derive(Debug)]
pub(super) struct Watch {
    watched: Arc<Mutex<Vec<Watched>>>,
    looking: tokio::task::JoinHandle<()>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.looking.abort();
    }
}

impl Watch {
    pub(super) fn start(place: &Path, limit: u64) -> Self {
        let watched = Arc::new(Mutex::new(Vec::new()));
        let looking = tokio::spawn(look(Arc::clone(&watched), place.to_owned(), limit));
        Self { watched, looking }
    }

    pub(super) fn add(&self, worker: Watched) {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner).push(worker);
    }
}

/// Processes and threads of this machine: the fourth field of `/proc/loadavg` is "running/all".
pub(super) fn tasks() -> u64 {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split_whitespace().nth(3).and_then(|field| field.split('/').nth(1)?.parse().ok()).unwrap_or(0)
}

async fn look(watched: Arc<Mutex<Vec<Watched>>>, place: PathBuf, limit: u64) {
    let (mut measured, mut used) = (Instant::now(), taken(&place));
    let growth = (limit / 16).clamp(1, GROWTH_MAX);
    let mut rest = LOOK_EVERY;
    loop {
        tokio::time::sleep(rest.max(LOOK_EVERY)).await;
        rest = LOOK_EVERY;
        let now = taken(&place);
        if now < used.saturating_add(growth) && measured.elapsed() < MEASURE_EVERY {
            // What others have given back they may take again.
            used = used.min(now);
            continue;
        }
        let present = present(&watched);
        let begin = Instant::now();
        let beyond = tokio::task::spawn_blocking(move || beyond(present, limit)).await.unwrap_or_default();
        for (control, why) in beyond {
            if let Some(control) = control.upgrade() {
                control.end_for(why);
            }
        }
        (measured, used, rest) = (Instant::now(), now, begin.elapsed() * REST);
    }
}

/// Bytes of the file system that are in use.
fn taken(place: &Path) -> u64 {
    let state = rustix::fs::statvfs(place);
    state.map_or(0, |state| state.f_blocks.saturating_sub(state.f_bfree).saturating_mul(state.f_frsize))
}

/// Those that still have a directory.
fn present(watched: &Mutex<Vec<Watched>>) -> Vec<(Arc<OwnDirectory>, u32, Weak<Control>)> {
    let mut watched = watched.lock().unwrap_or_else(PoisonError::into_inner);
    watched.retain(|one| one.own.strong_count() > 0);
    watched.iter().filter_map(|one| Some((one.own.upgrade()?, one.worker, one.control.clone()))).collect()
}

/// Those that keep more than they may, and what to say of it.
fn beyond(present: Vec<(Arc<OwnDirectory>, u32, Weak<Control>)>, limit: u64) -> Vec<(Weak<Control>, String)> {
    let over = |(own, worker, control): (Arc<OwnDirectory>, u32, Weak<Control>)| {
        // One that cannot be measured is gone, or about to be.
        let why = match own.usage().ok()? {
            Usage::TooMany => Some("more files, or deeper directories, than are counted".to_owned()),
            Usage::Bytes(bytes) => {
                let all = bytes.saturating_add(without_name(worker, own.path()));
                (all > limit).then(|| format!("{} MiB; the limit is {} MiB", all >> 20, limit >> 20))
            }
        }?;
        Some((control, format!("the worker kept on the disk {why} (disk in [sandbox] of the node's file)")))
    };
    present.into_iter().filter_map(over).collect()
}

/// What a worker's processes hold of files that have no name any more, on the file system of its directory.
fn without_name(worker: u32, own: &Path) -> u64 {
    let Ok(device) = fs::metadata(own).map(|own| own.dev()) else { return 0 };
    let mut files: BTreeMap<u64, u64> = BTreeMap::new();
    let mut waiting = vec![worker];
    while let Some(pid) = waiting.pop() {
        for entry in fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
            let Ok(found) = fs::metadata(entry.path()) else { continue };
            if found.is_file() && found.nlink() == 0 && found.dev() == device {
                files.insert(found.ino(), found.blocks() * BLOCK);
            }
        }
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
        for (inode, length) in maps.lines().filter_map(|line| mapped(line, own)) {
            let known = files.entry(inode).or_default();
            *known = (*known).max(length);
        }
        waiting.extend(children(pid));
    }
    files.values().sum()
}

/// Inode and length of a mapping of a file of this directory that has no name any more.
fn mapped(line: &str, own: &Path) -> Option<(u64, u64)> {
    let mut fields = line.splitn(6, ' ');
    let (range, inode) = (fields.next()?, fields.nth(3)?);
    let path = fields.next()?.trim_start().strip_suffix(DELETED)?;
    let (begin, end) = range.split_once('-')?;
    let at = |text| u64::from_str_radix(text, 16).ok();
    Path::new(path).starts_with(own).then_some((inode.parse().ok()?, at(end)?.saturating_sub(at(begin)?)))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_tasks_of_a_machine_are_counted() {
        assert!(tasks() >= 1, "{}", tasks());
    }

    #[test]
    fn a_mapping_without_a_file_counts_where_it_was_the_workers() {
        let own = Path::new("/data/workers/w1");
        let line =
            "7f0000000000-7f0000100000 rw-s 00000000 fe:01 4711                       /data/workers/w1/tmp/x (deleted)";
        assert_eq!(mapped(line, own), Some((4711, 1 << 20)));
        assert_eq!(mapped(&line.replace(" (deleted)", ""), own), None);
        assert_eq!(mapped(&line.replace("w1", "w2"), own), None);
        assert_eq!(mapped("7f0000000000-7f0000100000 rw-p 00000000 00:00 0 ", own), None);
    }

    #[test]
    fn a_file_without_a_name_is_found_where_it_is_open() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut file = tempfile::tempfile_in(directory.path()).expect("a file without a name");
        file.write_all(&vec![1; 1 << 20]).expect("written");
        file.sync_all().expect("synced");
        let held = without_name(std::process::id(), directory.path());
        assert!(held >= 1 << 20, "{held}");
    }
}
