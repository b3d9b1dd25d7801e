//! The state, its snapshots and their installation.

use std::collections::BTreeMap;
use std::path::Path;

use dspex_storage::{DataDirectory, Options, SnapshotFile, SnapshotHeader, StateStore};

fn open(path: &Path) -> DataDirectory {
    DataDirectory::open(path, &Options::embedded()).expect("the directory opens")
}

fn pairs(state: &StateStore) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut pairs = BTreeMap::new();
    let mut insert = |key: &[u8], value: &[u8]| {
        pairs.insert(key.to_vec(), value.to_vec());
        Ok(())
    };
    state.load(&mut insert).expect("the state is readable");
    pairs
}

fn fill(state: &StateStore, from: u32, to: u32) {
    for number in from..to {
        let (key, value) = (format!("key {number:05}"), vec![number as u8; 100]);
        let change = (key.as_bytes(), Some(&value[..]));
        state.write([change], &number.to_le_bytes(), Some(b"members")).expect("the write succeeds");
    }
}

#[test]
fn changes_and_the_applied_position_are_there_after_reopening() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = open(directory.path());
    data.state()
        .write([(&b"a"[..], Some(&b"1"[..])), (b"b", Some(&b"2"[..]))], b"at 1", Some(b"members"))
        .expect("written");
    data.state().write([(&b"a"[..], None), (b"c", Some(&b""[..]))], b"at 2", None).expect("written");
    drop(data);

    let data = open(directory.path());
    let expected = BTreeMap::from([(b"b".to_vec(), b"2".to_vec()), (b"c".to_vec(), Vec::new())]);
    assert_eq!(pairs(data.state()), expected);
    assert_eq!(data.state().applied().expect("readable").as_deref(), Some(&b"at 2"[..]));
    assert_eq!(data.state().membership().expect("readable").as_deref(), Some(&b"members"[..]));
}

#[test]
fn a_frozen_state_does_not_see_later_writes() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = open(directory.path());
    fill(data.state(), 0, 100);
    let before = pairs(data.state());
    let frozen = data.state().freeze().expect("frozen");
    fill(data.state(), 50, 300);

    let snapshot = data.snapshots().write(frozen, 99).expect("the snapshot is written");
    let mut read = BTreeMap::new();
    let header = snapshot
        .read(|key, value| {
            read.insert(key.to_vec(), value.to_vec());
            Ok(())
        })
        .expect("the snapshot is whole");
    assert_eq!(read, before);
    let applied = Some(99_u32.to_le_bytes().to_vec());
    assert_eq!(header, SnapshotHeader { applied, membership: Some(b"members".to_vec()) });
}

#[test]
fn an_installed_snapshot_replaces_the_state_and_survives_reopening() {
    let source = tempfile::tempdir().expect("a directory");
    let target = tempfile::tempdir().expect("a directory");
    let from = open(source.path());
    fill(from.state(), 0, 1000);
    let snapshot = from.snapshots().write(from.state().freeze().expect("frozen"), 999).expect("written");

    let to = open(target.path());
    fill(to.state(), 5000, 5100);
    to.state().install(&snapshot).expect("installed");
    to.snapshots().adopt(&snapshot, 999).expect("adopted");
    assert_eq!(pairs(to.state()), pairs(from.state()));
    to.state().write([(&b"later"[..], Some(&b"x"[..]))], b"later", None).expect("written");
    drop(to);

    let to = open(target.path());
    assert_eq!(pairs(to.state()).len(), 1001);
    assert_eq!(to.state().applied().expect("readable").as_deref(), Some(&b"later"[..]));
    let adopted = to.snapshots().current().expect("readable").expect("there is a snapshot");
    assert_eq!(adopted.header().expect("readable"), snapshot.header().expect("readable"));
}

#[test]
fn a_damaged_snapshot_is_refused_and_the_state_stays() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = open(directory.path());
    fill(data.state(), 0, 20);
    let snapshot = data.snapshots().write(data.state().freeze().expect("frozen"), 19).expect("written");
    fill(data.state(), 20, 30);
    let before = pairs(data.state());
    let bytes = std::fs::read(snapshot.path()).expect("readable");

    let damaged = directory.path().join("damaged");
    let mut refused = 0;
    for position in (0..bytes.len()).step_by(7) {
        let mut copy = bytes.clone();
        copy[position] ^= 0x10;
        std::fs::write(&damaged, copy).expect("written");
        let file = SnapshotFile::open(&damaged).expect("opened");
        let error = file.read(|_, _| Ok(())).expect_err("damage is noticed");
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidData, "byte {position}: {error}");
        // An install opens a database, so only some of the damages go all the way.
        if position % 50 == 0 {
            data.state().install(&file).expect_err("damage is refused");
        }
        refused += 1;
    }
    for length in [0, 9, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&damaged, &bytes[..length]).expect("written");
        let file = SnapshotFile::open(&damaged).expect("opened");
        assert!(data.state().install(&file).is_err(), "{length} bytes");
        refused += 1;
    }
    assert!(refused > 100);
    assert_eq!(pairs(data.state()), before);
}

#[test]
fn only_the_newest_snapshot_is_kept_and_unfinished_ones_go() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = open(directory.path());
    for index in [3, 9, 27] {
        fill(data.state(), 0, index as u32);
        data.snapshots().write(data.state().freeze().expect("frozen"), index).expect("written");
    }
    std::fs::write(data.snapshots().part(), b"half").expect("written");
    drop(data);

    let data = open(directory.path());
    let files = std::fs::read_dir(directory.path().join("snapshots")).expect("readable").count();
    assert_eq!(files, 1);
    let current = data.snapshots().current().expect("readable").expect("there is a snapshot");
    assert!(current.path().ends_with("00000000000000000027.snapshot"));
}
