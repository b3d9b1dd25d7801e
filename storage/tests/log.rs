//! The log keeps what it acknowledged, in order, through reopening, truncation and purging.

use std::io;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use dspex_storage::{DataDirectory, Done, LogBounds, LogStore, Options};
use proptest::prelude::*;

fn open(path: &std::path::Path) -> DataDirectory {
    DataDirectory::open(path, &Options::embedded()).expect("the directory opens")
}

/// Runs one write to its acknowledgement.
fn wait(write: impl FnOnce(Done)) -> io::Result<()> {
    let (sender, receiver) = channel();
    write(Box::new(move |result| sender.send(result).expect("the test waits")));
    receiver.recv().expect("every write is acknowledged")
}

fn append(log: &LogStore, range: std::ops::Range<u64>) {
    let entries: Vec<_> = range.map(|index| (index, payload(index))).collect();
    wait(|done| log.append(&entries, done)).expect("the append succeeds");
}

fn payload(index: u64) -> Vec<u8> {
    vec![index as u8; 10 + (index % 7) as usize]
}

fn indexes(log: &LogStore) -> Vec<u64> {
    log.read(0..u64::MAX, u64::MAX).expect("the log is readable").into_iter().map(|(index, _)| index).collect()
}

#[test]
fn entries_and_pointers_are_there_after_reopening() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = open(directory.path());
    append(data.log(), 1..6);
    wait(|done| data.log().save_vote(b"vote", done)).expect("the vote is saved");
    wait(|done| data.log().save_committed(b"committed", done)).expect("the pointer is saved");
    data.close().expect("the directory closes");

    let data = open(directory.path());
    assert_eq!(data.log().bounds(), LogBounds { first: Some(1), last: Some(5) });
    let entries = data.log().read(0..100, u64::MAX).expect("the log is readable");
    assert_eq!(entries, (1..6).map(|index| (index, payload(index))).collect::<Vec<_>>());
    assert_eq!(data.log().vote().expect("readable").as_deref(), Some(&b"vote"[..]));
    assert_eq!(data.log().committed().expect("readable").as_deref(), Some(&b"committed"[..]));
}

#[test]
fn an_entry_can_be_read_as_soon_as_append_returns() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = open(directory.path());
    for index in 1..200 {
        data.log().append(&[(index, payload(index))], Box::new(|_| ()));
        let entries = data.log().read(index..index + 1, u64::MAX).expect("the log is readable");
        assert_eq!(entries, [(index, payload(index))]);
    }
}

#[test]
fn one_sync_acknowledges_many_writes_in_order() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = open(directory.path());
    let order = Arc::new(Mutex::new(Vec::new()));
    let (sender, receiver) = channel();
    for index in 1..=500 {
        let (order, sender) = (Arc::clone(&order), sender.clone());
        let done: Done = Box::new(move |result| {
            result.expect("the write succeeds");
            order.lock().expect("not poisoned").push(index);
            sender.send(()).expect("the test waits");
        });
        data.log().append(&[(index, payload(index))], done);
    }
    for _ in 1..=500 {
        receiver.recv().expect("every write is acknowledged");
    }
    assert_eq!(*order.lock().expect("not poisoned"), (1..=500).collect::<Vec<_>>());
    let statistics = data.log().statistics();
    assert_eq!(statistics.appended_entries, 500);
    assert!(statistics.syncs < 250, "500 writes took {} syncs", statistics.syncs);
}

#[test]
fn who_waits_for_an_entry_hears_of_its_sync_and_of_a_log_that_is_closed() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = open(directory.path());
    let log = data.log().clone();
    log.append(&[(1, payload(1)), (2, payload(2))], Box::new(|result| result.expect("appended")));
    wait(|done| log.when_synced(1, done)).expect("synced");
    let syncs = log.statistics().syncs;
    wait(|done| log.when_synced(2, done)).expect("synced already");
    // The same sync covered both, and nobody asked for another one.
    assert_eq!(log.statistics().syncs, syncs);
    log.append(&[(3, payload(3))], Box::new(|result| result.expect("appended")));
    wait(|done| log.when_synced(3, done)).expect("synced");
    assert!(log.statistics().syncs > syncs);
    log.close().expect("closed");
    wait(|done| log.when_synced(3, done)).expect_err("a closed log promises nothing");
}

#[test]
fn an_entry_that_does_not_follow_the_last_one_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = open(directory.path());
    append(data.log(), 1..3);
    let error = wait(|done| data.log().append(&[(7, payload(7))], done)).expect_err("a hole is refused");
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    append(data.log(), 3..4);
    assert_eq!(indexes(data.log()), [1, 2, 3]);
}

#[test]
fn last_purged_arrives_with_the_purge() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = open(directory.path());
    append(data.log(), 1..11);
    let bytes: u64 = (5..11).map(|index| payload(index).len() as u64).sum();
    assert_eq!(data.log().bytes_after(Some(4)).expect("readable"), bytes);
    wait(|done| data.log().purge_upto(4, b"four", done)).expect("the purge succeeds");
    assert_eq!(data.log().bytes_after(Some(4)).expect("readable"), bytes);
    assert_eq!(data.log().bytes_after(None).expect("readable"), bytes);
    data.close().expect("the directory closes");

    let data = open(directory.path());
    assert_eq!(indexes(data.log()), (5..11).collect::<Vec<_>>());
    assert_eq!(data.log().last_purged().expect("readable").as_deref(), Some(&b"four"[..]));
    wait(|done| data.log().purge_upto(100, b"hundred", done)).expect("the purge succeeds");
    assert_eq!(data.log().bounds(), LogBounds::default());
    append(data.log(), 101..103);
    assert_eq!(indexes(data.log()), [101, 102]);
}

#[test]
fn reading_stops_after_the_byte_limit_but_not_before_the_first_entry() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = open(directory.path());
    append(data.log(), 1..11);
    assert_eq!(data.log().read(2..11, 1).expect("readable").len(), 1);
    assert_eq!(data.log().read(2..11, 25).expect("readable").len(), 2);
}

#[test]
fn a_closed_log_refuses_writes() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = open(directory.path());
    let log = data.log().clone();
    data.close().expect("the directory closes");
    let error = wait(|done| log.save_vote(b"vote", done)).expect_err("the log is closed");
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}

#[derive(Debug, Clone)]
enum Step {
    Append(u64),
    Truncate(u64),
    Purge(u64),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..20_u64).prop_map(Step::Append),
        2 => (0..12_u64).prop_map(Step::Truncate),
        2 => (0..12_u64).prop_map(Step::Purge),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    /// The log against a plain vector: same entries, same byte counts, whatever happened before.
    #[test]
    fn the_log_behaves_like_a_vector(steps in prop::collection::vec(step(), 1..25)) {
        let directory = tempfile::tempdir().expect("a directory");
        let mut data = open(directory.path());
        let mut model: Vec<u64> = Vec::new();
        let mut next = 1;
        for step in steps {
            match step {
                Step::Append(count) => {
                    append(data.log(), next..next + count);
                    model.extend(next..next + count);
                    next += count;
                }
                Step::Truncate(count) => {
                    let keep = model.len().saturating_sub(count as usize);
                    let after = model[..keep].last().copied().or(model.first().map(|first| first - 1));
                    if let Some(after) = after {
                        wait(|done| data.log().truncate_after(Some(after), done)).expect("truncated");
                        model.truncate(keep);
                        next = after + 1;
                    }
                }
                Step::Purge(count) => {
                    let purged = model[..model.len().min(count as usize)].last().copied();
                    if let Some(upto) = purged {
                        wait(|done| data.log().purge_upto(upto, b"purged", done)).expect("purged");
                        model.retain(|index| *index > upto);
                    }
                }
                Step::Reopen => {
                    data.close().expect("closes");
                    data = open(directory.path());
                }
            }
            prop_assert_eq!(indexes(data.log()), model.clone());
            let bounds = LogBounds { first: model.first().copied(), last: model.last().copied() };
            prop_assert_eq!(data.log().bounds(), bounds);
            let bytes: u64 = model.iter().map(|index| payload(*index).len() as u64).sum();
            prop_assert_eq!(data.log().bytes_after(None).expect("readable"), bytes);
        }
    }
}
