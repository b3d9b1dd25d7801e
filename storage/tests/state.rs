//! The state, its snapshots and their installation.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use dspex_model::{Change, Order};
use dspex_storage::{DataDirectory, Options, SnapshotFile, SnapshotHeader, StateStore};

/// Nothing is left out.
const ALL: (&[u8], &[u8]) = (&[], &[]);

fn open(path: &Path) -> DataDirectory {
    DataDirectory::open(path, &Options::embedded()).expect("the directory opens")
}

fn pairs(state: &StateStore) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut pairs = BTreeMap::new();
    let mut insert = |key: &[u8], value: &[u8]| {
        pairs.insert(key.to_vec(), value.to_vec());
        Ok(())
    };
    state.load(ALL, &mut insert).expect("the state is readable");
    pairs
}

fn put(key: &[u8], value: &[u8]) -> Change {
    Change::Put { key: key.to_vec(), value: value.to_vec() }
}

fn remove_range(from: &[u8], to: &[u8]) -> Change {
    Change::RemoveRange { from: from.to_vec(), to: to.to_vec() }
}

fn fill(state: &StateStore, from: u32, to: u32) {
    for number in from..to {
        let change = put(format!("key {number:05}").as_bytes(), &[number as u8; 100]);
        state.write([&change], &number.to_le_bytes(), Some(b"members")).expect("the write succeeds");
    }
}

#[test]
fn changes_and_the_applied_position_are_there_after_reopening() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = open(directory.path());
    data.state().write(&[put(b"a", b"1"), put(b"b", b"2")], b"at 1", Some(b"members")).expect("written");
    data.state().write(&[Change::Remove { key: b"a".to_vec() }, put(b"c", b"")], b"at 2", None).expect("written");
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
    to.state().write([&put(b"later", b"x")], b"later", None).expect("written");
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

fn keys(state: &StateStore) -> Vec<String> {
    pairs(state).into_keys().map(|key| String::from_utf8(key).expect("text")).collect()
}

/// The keys of a view's range.
fn found(state: &StateStore, from: &str, to: &str, order: Order, most: usize) -> Vec<String> {
    let mut found = Vec::new();
    let visit = |key: &[u8], _: &[u8]| {
        found.push(String::from_utf8(key.to_vec()).expect("text"));
        if found.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    state.view(|view| view.scan(from.as_bytes(), to.as_bytes(), order, visit)).expect("readable");
    found
}

#[test]
fn a_range_goes_with_the_batch_that_removes_it_and_what_comes_later_stays() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = open(directory.path());
    fill(data.state(), 0, 100);
    let frozen = data.state().freeze().expect("frozen");
    let batch = [
        put(b"key 00005 before", b"x"),
        remove_range(b"key 00003", b"key 00098"),
        put(b"key 00006", b"after it"),
        remove_range(b"key 00099", b"key 00001"),
    ];
    data.state().write(&batch, b"removed", None).expect("written");
    let left = ["key 00000", "key 00001", "key 00002", "key 00006", "key 00098", "key 00099"];
    assert_eq!(keys(data.state()), left);
    assert_eq!(data.state().view(|view| view.get(b"key 00050")).expect("readable"), None);
    assert_eq!(found(data.state(), "key", "kez", Order::LastFirst, 3), ["key 00099", "key 00098", "key 00006"]);

    // What was frozen before has all of it, what is frozen now has what is left.
    let count = |snapshot: &SnapshotFile| {
        let mut count = 0;
        let header = snapshot.read(|_, _| {
            count += 1;
            Ok(())
        });
        (count, header.expect("whole").applied.expect("applied"))
    };
    let before = data.snapshots().write(frozen, 99).expect("written");
    assert_eq!(count(&before), (100, 99_u32.to_le_bytes().to_vec()));
    let after = data.snapshots().write(data.state().freeze().expect("frozen"), 100).expect("written");
    assert_eq!(count(&after), (6, b"removed".to_vec()));

    data.state().sync().expect("synced");
    drop(data);
    let data = open(directory.path());
    assert_eq!(keys(data.state()), left);
    data.state().install(&after).expect("installed");
    assert_eq!(keys(data.state()), left);
}

#[test]
fn a_view_shows_a_range_from_either_end_and_nothing_that_comes_later() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = open(directory.path());
    fill(data.state(), 0, 10);
    let state = data.state();
    assert_eq!(found(state, "key 00002", "key 00005", Order::FirstFirst, 9), ["key 00002", "key 00003", "key 00004"]);
    assert_eq!(found(state, "key 00002", "key 00005", Order::LastFirst, 2), ["key 00004", "key 00003"]);
    assert_eq!(found(state, "key 000021", "key 000029", Order::LastFirst, 9), [""; 0], "between two keys");
    assert_eq!(found(state, "key 00005", "key 00002", Order::LastFirst, 9), [""; 0], "no range");
    assert_eq!(found(state, "", "zzz", Order::LastFirst, 1), ["key 00009"], "nothing but the state's pairs");
    state.view(|view| {
        fill(state, 10, 12);
        state.write(&[remove_range(b"key 00000", b"key 00005")], b"later", None).expect("written");
        assert_eq!(view.get(b"key 00003").expect("readable"), Some(vec![3; 100]));
        assert_eq!(view.get(b"key 00011").expect("readable"), None);
        let mut count = 0;
        let visit = |_: &[u8], _: &[u8]| {
            count += 1;
            ControlFlow::Continue(())
        };
        view.scan(b"", b"zzz", Order::FirstFirst, visit).expect("readable");
        assert_eq!(count, 10);
    });
    assert_eq!(keys(state).len(), 7);
}

#[test]
fn loading_leaves_a_range_out() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = open(directory.path());
    fill(data.state(), 0, 10);
    let loaded = |from: &str, to: &str| {
        let mut loaded = Vec::new();
        let visit = |key: &[u8], _: &[u8]| {
            loaded.push(key[8] - b'0');
            Ok(())
        };
        data.state().load((from.as_bytes(), to.as_bytes()), visit).expect("readable");
        loaded
    };
    assert_eq!(loaded("key 00002", "key 00008"), [0, 1, 8, 9]);
    assert_eq!(loaded("a", "b"), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(loaded("a", "z"), [0; 0]);
}
