//! Damaged and newer logs stop a node with an error that says so; nothing is skipped.

mod support;

use std::path::Path;

use dspex_consensus::{ConsensusOptions, StartError};
use support::{Node, must_submit};

async fn written(path: &Path) -> u64 {
    let node = Node::start(path).await;
    for number in 0..20 {
        must_submit(&node.consensus, number).await;
    }
    let last = node.consensus.status().last_index.expect("there are entries");
    node.stop().await;
    last
}

fn key(index: u64) -> Vec<u8> {
    [b"e", &index.to_be_bytes()[..]].concat()
}

/// Changes a stored entry behind the log's back.
fn change(path: &Path, index: u64, change: impl FnOnce(Vec<u8>) -> Option<Vec<u8>>) {
    let db = rocksdb::DB::open_default(path.join("log")).expect("opens");
    let value = db.get(key(index)).expect("readable").expect("there");
    match change(value) {
        Some(value) => db.put(key(index), value).expect("written"),
        None => db.delete(key(index)).expect("deleted"),
    }
}

async fn refused(path: &Path) -> String {
    match Node::try_start(path, ConsensusOptions::default()).await {
        Err(error @ StartError::Storage { .. }) => error.to_string(),
        Err(error) => panic!("another error: {error}"),
        Ok(_) => panic!("the node started"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_in_the_last_entry_is_a_clear_error() {
    let directory = tempfile::tempdir().expect("a directory");
    let last = written(directory.path()).await;
    change(directory.path(), last, |mut value| {
        *value.last_mut().expect("not empty") ^= 4;
        Some(value)
    });
    let error = match dspex_storage::DataDirectory::open(directory.path(), &dspex_storage::Options::embedded()) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("the directory opened"),
    };
    assert!(error.contains(&format!("log entry {last} fails its checksum")), "{error}");
    assert!(error.contains("restore"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_of_a_newer_version_stops_the_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let last = written(directory.path()).await;
    // As a newer version would have written it: valid checksum, unknown format.
    change(directory.path(), last, |mut value| {
        value[14] = 2;
        let sum = crc32c::crc32c_append(crc32c::crc32c(&last.to_be_bytes()), &value[4..]);
        value[..4].copy_from_slice(&sum.to_le_bytes());
        Some(value)
    });
    let error = refused(directory.path()).await;
    assert!(error.contains(&format!("log entry {last}")) && error.contains("format 2 is unknown"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proposal_of_a_newer_version_stops_the_node_and_is_never_skipped() {
    let directory = tempfile::tempdir().expect("a directory");
    let last = written(directory.path()).await;
    // The next entry, as a newer leader would have left it: it is in the log and not yet applied.
    {
        let db = rocksdb::DB::open_default(directory.path().join("log")).expect("opens");
        let model = db.get(key(last)).expect("readable").expect("there");
        let index = last + 1;
        let mut value = model.clone();
        let end_bytes = u64::from_le_bytes(model[4..12].try_into().expect("eight bytes"));
        value.truncate(12 + 4 + 24);
        value[15] = 2;
        value[32..40].copy_from_slice(&index.to_le_bytes());
        value.extend_from_slice(&[200, 1, 2, 3]);
        let length = (value.len() - 12) as u64;
        value[4..12].copy_from_slice(&(end_bytes + length).to_le_bytes());
        let sum = crc32c::crc32c_append(crc32c::crc32c(&index.to_be_bytes()), &value[4..]);
        value[..4].copy_from_slice(&sum.to_le_bytes());
        db.put(key(index), value).expect("written");
    }
    for _ in 0..2 {
        let error = refused(directory.path()).await;
        assert!(error.contains(&format!("log entry {}", last + 1)) && error.contains("200"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_entry_is_noticed() {
    let directory = tempfile::tempdir().expect("a directory");
    let last = written(directory.path()).await;
    change(directory.path(), last - 3, |_| None);
    let data =
        dspex_storage::DataDirectory::open(directory.path(), &dspex_storage::Options::embedded()).expect("opens");
    let error = data.log().read(0..last + 1, u64::MAX).expect_err("there is a hole").to_string();
    assert!(error.contains("missing"), "{error}");
}
