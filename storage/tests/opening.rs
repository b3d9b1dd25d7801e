//! Bad directories get an error that says what to do, and nothing in them is changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use dspex_model::NodeId;
use dspex_storage::{DataDirectory, DirectoryKind, OpenError, Options};

fn open(path: &Path) -> Result<DataDirectory, OpenError> {
    DataDirectory::open(path, &Options::embedded())
}

fn made(path: &Path) {
    let data = open(path).expect("the directory opens");
    let (sender, receiver) = std::sync::mpsc::channel();
    let entries: Vec<_> = (1..100_u64).map(|index| (index, vec![7; 100])).collect();
    data.log().append(&entries, Box::new(move |result| sender.send(result).expect("the test waits")));
    receiver.recv().expect("acknowledged").expect("appended");
    data.close().expect("the directory closes");
}

#[test]
fn a_new_directory_is_for_its_owner_only_and_keeps_its_identity() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("new/data");
    let options = Options::cluster(NodeId(7));
    let data = DataDirectory::open(&path, &options).expect("opens");
    assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o700);
    data.identity_file().join_cluster("c1").expect("joins");
    drop(data);

    let data = DataDirectory::open(&path, &Options::cluster(NodeId(8))).expect("opens");
    assert_eq!(data.identity().node_id, NodeId(7));
    assert_eq!(data.identity().kind, DirectoryKind::Cluster);
    drop(data);
    let other = Options { cluster_id: Some("c2".to_owned()), ..Options::cluster(NodeId(7)) };
    assert!(matches!(DataDirectory::open(&path, &other), Err(OpenError::OtherCluster { .. })));
    assert!(matches!(open(&path), Err(OpenError::OtherKind { .. })));
}

#[test]
fn the_stored_form_of_the_format_file_is_pinned() {
    let directory = tempfile::tempdir().expect("a directory");
    made(directory.path());
    let text = fs::read_to_string(directory.path().join("FORMAT")).expect("readable");
    assert_eq!(text, "dspex data directory\nformat = 1\nkind = embedded\nnode = 1\n");
}

#[test]
fn a_locked_directory_names_its_holder() {
    let directory = tempfile::tempdir().expect("a directory");
    let held = open(directory.path()).expect("opens");
    let error = open(directory.path()).expect_err("it is locked");
    let this = std::process::id();
    assert!(matches!(error, OpenError::Locked { pid: Some(pid), .. } if pid == this), "{error}");
    assert!(error.to_string().contains(&format!("process {this}; stop that process")), "{error}");
    drop(held);
    open(directory.path()).expect("opens again");
}

#[test]
fn a_newer_format_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    made(directory.path());
    let newer = "dspex data directory\nformat = 2\nsomething = else\n";
    fs::write(directory.path().join("FORMAT"), newer).expect("written");
    let error = open(directory.path()).expect_err("it is newer");
    assert!(matches!(error, OpenError::NewerFormat { found: 2, supported: 1, .. }), "{error}");
}

#[test]
fn a_damaged_or_missing_part_is_refused() {
    type Damage = (&'static str, fn(&Path));
    let damages: [Damage; 5] = [
        ("an unreadable FORMAT", |path| fs::write(path.join("FORMAT"), "nonsense").expect("written")),
        ("a missing FORMAT", |path| fs::remove_file(path.join("FORMAT")).expect("removed")),
        ("a missing log", |path| fs::remove_dir_all(path.join("log")).expect("removed")),
        ("a missing state", |path| fs::remove_dir_all(path.join("state")).expect("removed")),
        ("a missing manifest", |path| fs::write(path.join("blobs/CURRENT"), "MANIFEST-999999\n").expect("written")),
    ];
    for (what, damage) in damages {
        let directory = tempfile::tempdir().expect("a directory");
        made(directory.path());
        damage(directory.path());
        let error = open(directory.path()).expect_err(what);
        assert!(matches!(error, OpenError::Corrupt { .. } | OpenError::Io { .. }), "{what}: {error}");
    }
}

#[test]
fn a_flipped_byte_in_the_log_is_noticed() {
    let directory = tempfile::tempdir().expect("a directory");
    made(directory.path());
    let file = write_ahead_log(&directory.path().join("log"));
    let bytes = fs::read(&file).expect("readable");
    let mut damaged = bytes.clone();
    damaged[bytes.len() / 2] ^= 0x40;
    fs::write(&file, damaged).expect("written");
    // The whole log is one record here, so damage could pass for a torn tail: it must not.
    let error = match open(directory.path()) {
        Err(error) => error,
        Ok(data) => panic!("opened with {:?}", data.log().bounds()),
    };
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");

    fs::write(&file, bytes).expect("written");
    let data = open(directory.path()).expect("the undamaged log opens");
    assert_eq!(data.log().bounds().last, Some(99));
}

fn write_ahead_log(path: &Path) -> PathBuf {
    let files = fs::read_dir(path).expect("readable").map(|entry| entry.expect("readable").path());
    files
        .filter(|file| file.extension().is_some_and(|extension| extension == "log"))
        .max_by_key(|file| fs::metadata(file).expect("there").len())
        .expect("there is a write-ahead log")
}

#[test]
fn somebodys_files_are_not_touched() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("thesis.tex"), "text").expect("written");
    let error = open(directory.path()).expect_err("it is not ours");
    assert!(matches!(error, OpenError::NotADataDirectory { .. }), "{error}");
    assert_eq!(fs::read_dir(directory.path()).expect("readable").count(), 1);
}

/// Bytes that do not compress.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(step).collect()
}

/// A mount for one test; removed at its end.
struct Mount {
    path: PathBuf,
}

impl Mount {
    /// `None`, with the reason on stderr, where the machine does not allow mounts.
    fn tmpfs(path: &Path, options: &str) -> Option<Self> {
        fs::create_dir_all(path).expect("made");
        let output = Command::new("mount").args(["-t", "tmpfs", "-o", options, "none"]).arg(path).output();
        match output {
            Ok(output) if output.status.success() => Some(Self { path: path.to_path_buf() }),
            other => {
                eprintln!("skipped: no tmpfs can be mounted here: {other:?}");
                None
            }
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}

#[test]
fn a_read_only_directory_says_so() {
    let directory = tempfile::tempdir().expect("a directory");
    let Some(mount) = Mount::tmpfs(&directory.path().join("mount"), "size=256m") else { return };
    let path = mount.path.join("data");
    made(&path);
    let status = Command::new("mount").args(["-o", "remount,ro"]).arg(&mount.path).status().expect("mount runs");
    assert!(status.success());
    let error = open(&path).expect_err("it is read-only");
    assert!(matches!(error, OpenError::ReadOnly { .. }), "{error}");
    let error = open(&mount.path.join("new")).expect_err("it is read-only");
    assert!(matches!(error, OpenError::ReadOnly { .. }), "{error}");
}

#[test]
fn a_full_disk_says_so_and_loses_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let Some(mount) = Mount::tmpfs(&directory.path().join("mount"), "size=64m") else { return };
    let path = mount.path.join("data");
    made(&path);
    let filler = mount.path.join("filler");
    let _ = fs::write(&filler, vec![1; 64 << 20]);
    let error = open(&path).expect_err("the disk is full");
    assert!(matches!(error, OpenError::Full { .. }), "{error}");
    fs::remove_file(&filler).expect("removed");
    let data = open(&path).expect("there is space again");
    assert_eq!(data.log().bounds().last, Some(99));
}

#[test]
fn a_disk_that_fills_up_fails_the_writes_that_do_not_fit_and_keeps_the_others() {
    let directory = tempfile::tempdir().expect("a directory");
    let Some(mount) = Mount::tmpfs(&directory.path().join("mount"), "size=64m") else { return };
    let path = mount.path.join("data");
    let data = open(&path).expect("opens");
    let (sender, receiver) = std::sync::mpsc::channel();
    let mut acknowledged = 0;
    for index in 1..2000_u64 {
        let sender = sender.clone();
        let payload = noise(60_000, index);
        data.log().append(&[(index, payload)], Box::new(move |result| sender.send(result).expect("waits")));
        match receiver.recv().expect("every write is answered") {
            Ok(()) => acknowledged = index,
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::StorageFull, "{error}");
                break;
            }
        }
    }
    assert!((100..1500).contains(&acknowledged), "{acknowledged} writes fitted into 64 MiB");
    let _ = data.close();
    let status = Command::new("mount").args(["-o", "remount,size=256m"]).arg(&mount.path).status().expect("runs");
    assert!(status.success());
    let data = open(&path).expect("opens with more space");
    let last = data.log().bounds().last.expect("there are entries");
    assert!(last >= acknowledged, "acknowledged {acknowledged}, found {last}");
    assert_eq!(data.log().read(1..last + 1, u64::MAX).expect("readable").len() as u64, last);
}
