//! Whether a directory can hold what a node keeps: there, private, with room, on a disk that keeps what was synced.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{Access, access, statfs, statvfs};

use super::finding::Finding;

/// The home of the embedded node.
pub(super) const HOME: Names = Names {
    directory: "home",
    disk: "home-disk",
    elsewhere: "set DSPEX_HOME to a directory of your own",
    must_be_private: true,
};
/// The directory of a `dspex node`.
pub(super) const DATA: Names =
    Names { directory: "data", disk: "data-disk", elsewhere: "set data_dir to another one", must_be_private: false };

/// Below it a node does not start.
const FREE_LEAST: u64 = 64 << 20;
/// Below it a few runs fill the disk.
const FREE_WANTED: u64 = 1 << 30;
/// Every result waits for one.
const SYNC_SLOW: Duration = Duration::from_millis(100);

/// What its checks are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Names {
    directory: &'static str,
    disk: &'static str,
    /// What to do when another directory is needed.
    elsewhere: &'static str,
    /// The node refuses one that others may enter.
    must_be_private: bool,
}

/// A directory and its disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DirectoryFacts {
    pub names: Names,
    pub path: PathBuf,
    pub state: Presence,
    /// Of the directory, or where it would be made; nothing: nobody can say.
    pub disk: Option<Disk>,
}

/// Whether it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// Where it would be is unknown.
    Unknown(String),
    /// It will be made in this directory.
    Missing {
        parent: PathBuf,
        can_write: bool,
    },
    NoDirectory,
    Unreadable(String),
    There {
        mode: u32,
        is_own: bool,
        is_empty: bool,
        can_write: bool,
    },
}

/// What is known of a file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Disk {
    pub kind: Kind,
    pub free_bytes: u64,
    /// How long a small write took to be synced, or why it was not.
    pub sync: Option<Result<Duration, String>>,
}

/// Kinds of file systems that matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Of a disk, as far as the kernel says.
    Local,
    /// tmpfs, ramfs.
    Memory,
    /// NFS, SMB, 9p.
    Network,
}

/// A home that cannot be named.
pub(super) fn unknown(why: String) -> DirectoryFacts {
    DirectoryFacts { names: HOME, path: PathBuf::new(), state: Presence::Unknown(why), disk: None }
}

/// Looks at a directory; a small file is written into it and removed.
pub(super) fn gather(names: Names, path: &Path) -> DirectoryFacts {
    let state = presence(path);
    let existing = match &state {
        Presence::Missing { parent, .. } => parent.clone(),
        _ => path.to_owned(),
    };
    let is_writable = matches!(state, Presence::There { can_write: true, .. });
    let sync = is_writable.then(|| sync_time(path).map_err(|error| error.to_string()));
    let disk = statvfs(&existing).ok().map(|disk| Disk {
        kind: statfs(&existing).map_or(Kind::Local, |found| kind(found.f_type)),
        free_bytes: disk.f_bavail.saturating_mul(disk.f_frsize),
        sync,
    });
    DirectoryFacts { names, path: path.to_owned(), state, disk }
}

fn presence(path: &Path) -> Presence {
    let can_write = |path: &Path| access(path, Access::WRITE_OK | Access::EXEC_OK).is_ok();
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let parent = path.ancestors().skip(1).find(|parent| parent.exists()).unwrap_or(Path::new("/"));
            return Presence::Missing { parent: parent.to_owned(), can_write: can_write(parent) };
        }
        Err(error) => return Presence::Unreadable(error.to_string()),
    };
    if !metadata.is_dir() {
        return Presence::NoDirectory;
    }
    match fs::read_dir(path) {
        Err(error) => Presence::Unreadable(error.to_string()),
        Ok(mut entries) => Presence::There {
            mode: metadata.mode() & 0o7777,
            is_own: metadata.uid() == rustix::process::geteuid().as_raw(),
            is_empty: entries.next().is_none(),
            can_write: can_write(path),
        },
    }
}

fn sync_time(path: &Path) -> std::io::Result<Duration> {
    let mut file = tempfile::Builder::new().prefix(".dspex-doctor-").tempfile_in(path)?;
    let begin = Instant::now();
    file.write_all(&[0; 4096])?;
    file.as_file().sync_all()?;
    Ok(begin.elapsed())
}

/// By the kernel's magic numbers (linux/magic.h).
fn kind(magic: rustix::fs::FsWord) -> Kind {
    match magic {
        0x0102_1994 | 0x8584_58f6 => Kind::Memory,
        0x6969 | 0x517b | 0xff53_4d42 | 0xfe53_4d42 | 0x0102_1997 => Kind::Network,
        _ => Kind::Local,
    }
}

/// What the facts say.
pub(super) fn check(facts: &DirectoryFacts) -> Vec<Finding> {
    let mut findings = vec![directory(facts)];
    findings.extend(facts.disk.as_ref().map(|found| disk(found, &facts.path, facts.names)));
    findings
}

fn directory(facts: &DirectoryFacts) -> Finding {
    let (names, shown) = (facts.names, facts.path.display());
    let check = names.directory;
    match &facts.state {
        Presence::Unknown(why) => Finding::failure(check, why, names.elsewhere),
        Presence::Missing { parent, can_write: false } => {
            let says = format!("{shown} is not there, and cannot be made in {}", parent.display());
            Finding::failure(check, says, names.elsewhere)
        }
        Presence::Missing { .. } => Finding::ok(check, format!("{shown} is not there yet: the first node makes it")),
        Presence::NoDirectory => Finding::failure(check, format!("{shown} is not a directory"), names.elsewhere),
        Presence::Unreadable(why) => Finding::failure(check, format!("{shown} cannot be read: {why}"), names.elsewhere),
        Presence::There { is_own: false, .. } => {
            Finding::failure(check, format!("{shown} belongs to another user"), names.elsewhere)
        }
        Presence::There { can_write: false, .. } => {
            Finding::failure(check, format!("{shown} cannot be written"), names.elsewhere)
        }
        Presence::There { mode, is_empty: false, .. } if mode & 0o077 != 0 => {
            let says = format!("{shown} is open to other users (mode {mode:o})");
            let advice = format!("chmod 700 {shown} if it is dspex's own, else {}", names.elsewhere);
            // The token in it has a mode of its own.
            if names.must_be_private {
                Finding::failure(check, says, advice)
            } else {
                Finding::warning(check, says, advice)
            }
        }
        Presence::There { .. } => Finding::ok(check, format!("{shown} is this user's own")),
    }
}

fn disk(disk: &Disk, path: &Path, names: Names) -> Finding {
    let (check, shown) = (names.disk, path.display());
    let free = format!("{} MiB are free for {shown}", disk.free_bytes >> 20);
    if let Some(Err(why)) = &disk.sync {
        return Finding::failure(check, format!("{shown} takes no synced write: {why}"), names.elsewhere);
    }
    if disk.free_bytes < FREE_LEAST {
        return Finding::failure(check, free, "make room: a node does not start without");
    }
    match disk.kind {
        Kind::Memory => {
            let says =
                format!("{shown} is in memory (tmpfs): what a node acknowledges is gone with a restart of the machine");
            return Finding::warning(check, says, names.elsewhere);
        }
        Kind::Network => {
            let says =
                format!("{shown} is on a network file system: locks and synced writes are as good as its server");
            return Finding::warning(check, says, names.elsewhere);
        }
        Kind::Local => {}
    }
    if disk.free_bytes < FREE_WANTED {
        return Finding::warning(check, free, "make room: results and datasets are kept until their runs are deleted");
    }
    match disk.sync {
        Some(Ok(time)) if time > SYNC_SLOW => {
            let says = format!("a synced write took {} ms on the disk of {shown}", time.as_millis());
            Finding::warning(check, says, "look at what else writes there: every result waits for one")
        }
        Some(Ok(time)) => {
            Finding::ok(check, format!("{free}; a synced write took {:.1} ms", time.as_secs_f64() * 1000.0))
        }
        _ => Finding::ok(check, free),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::State;

    const GOOD: Presence = Presence::There { mode: 0o700, is_own: true, is_empty: false, can_write: true };

    fn state(names: Names, state: Presence) -> State {
        directory(&DirectoryFacts { names, path: "/home/me".into(), state, disk: None }).state
    }

    fn disk_state(kind: Kind, free_bytes: u64, sync: Option<Result<Duration, String>>) -> State {
        disk(&Disk { kind, free_bytes, sync }, Path::new("/home/me"), HOME).state
    }

    #[test]
    fn a_directory_is_there_and_private_or_will_be() {
        assert_eq!(state(HOME, GOOD), State::Ok);
        let missing = |can_write| Presence::Missing { parent: "/home".into(), can_write };
        assert_eq!((state(HOME, missing(true)), state(HOME, missing(false))), (State::Ok, State::Failure));
        for bad in [
            Presence::Unknown("HOME is not set".to_owned()),
            Presence::NoDirectory,
            Presence::Unreadable("Permission denied".to_owned()),
            Presence::There { mode: 0o700, is_own: false, is_empty: true, can_write: true },
            Presence::There { mode: 0o500, is_own: true, is_empty: false, can_write: false },
        ] {
            assert_eq!(state(HOME, bad.clone()), State::Failure, "{bad:?}");
        }
        let open = |is_empty| Presence::There { mode: 0o755, is_own: true, is_empty, can_write: true };
        assert_eq!((state(HOME, open(false)), state(DATA, open(false))), (State::Failure, State::Warning));
        // A node makes it private.
        assert_eq!(state(HOME, open(true)), State::Ok);
    }

    #[test]
    fn a_disk_has_room_and_keeps_what_was_synced() {
        let quick = || Some(Ok(Duration::from_millis(2)));
        assert_eq!(disk_state(Kind::Local, 10 << 30, quick()), State::Ok);
        assert_eq!(disk_state(Kind::Local, 10 << 30, None), State::Ok);
        assert_eq!(disk_state(Kind::Local, 500 << 20, quick()), State::Warning);
        assert_eq!(disk_state(Kind::Local, 1 << 20, quick()), State::Failure);
        assert_eq!(disk_state(Kind::Memory, 10 << 30, quick()), State::Warning);
        assert_eq!(disk_state(Kind::Network, 10 << 30, quick()), State::Warning);
        assert_eq!(disk_state(Kind::Local, 10 << 30, Some(Ok(Duration::from_secs(1)))), State::Warning);
        assert_eq!(disk_state(Kind::Local, 10 << 30, Some(Err("Input/output error".to_owned()))), State::Failure);
    }

    #[test]
    fn a_real_directory_is_looked_at_and_left_as_it_was() {
        let root = tempfile::tempdir().expect("a directory");
        let found = gather(HOME, root.path());
        assert!(
            matches!(found.state, Presence::There { is_own: true, is_empty: true, can_write: true, .. }),
            "{found:?}"
        );
        assert!(matches!(found.disk, Some(Disk { sync: Some(Ok(_)), .. })), "{found:?}");
        assert_eq!(fs::read_dir(root.path()).expect("readable").count(), 0);
        let missing = gather(HOME, &root.path().join("a/b"));
        assert!(matches!(&missing.state, Presence::Missing { parent, can_write: true } if parent == root.path()));
        fs::write(root.path().join("file"), "").expect("written");
        assert_eq!(gather(HOME, &root.path().join("file")).state, Presence::NoDirectory);
    }
}
