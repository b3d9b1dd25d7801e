//! A log that a newer version wrote stops a node with an error that says so; nothing is skipped.

mod support;

use std::path::Path;
use std::sync::mpsc::channel;

use dspex_consensus::{ConsensusOptions, StartError};
use dspex_storage::{DataDirectory, Done, Options};
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

fn wait(write: impl FnOnce(Done)) {
    let (sender, receiver) = channel();
    write(Box::new(move |result| sender.send(result).expect("the test waits")));
    receiver.recv().expect("acknowledged").expect("written");
}

/// Puts an entry made from the last one at `index`, in place of what follows.
fn rewrite(path: &Path, last: u64, index: u64, change: impl FnOnce(&mut Vec<u8>)) {
    let data = DataDirectory::open(path, &Options::embedded()).expect("the directory opens");
    let (_, mut entry) = data.log().read(last..last + 1, u64::MAX).expect("readable").pop().expect("there");
    change(&mut entry);
    wait(|done| data.log().truncate_after(Some(index - 1), done));
    wait(|done| data.log().append(&[(index, entry)], done));
    data.close().expect("the directory closes");
}

async fn refused(path: &Path) -> String {
    match Node::try_start(path, ConsensusOptions::default()).await {
        Err(error @ StartError::Storage { .. }) => error.to_string(),
        Err(error) => panic!("another error: {error}"),
        Ok(_) => panic!("the node started"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_of_a_newer_version_stops_the_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let last = written(directory.path()).await;
    rewrite(directory.path(), last, last, |entry| entry[2] = 2);
    let error = refused(directory.path()).await;
    assert!(error.contains(&format!("log entry {last}")) && error.contains("format 2 is unknown"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proposal_of_a_newer_version_stops_the_node_and_is_never_skipped() {
    let directory = tempfile::tempdir().expect("a directory");
    let last = written(directory.path()).await;
    // The next entry, as a newer leader would have left it: it is in the log and not yet applied.
    let next = last + 1;
    rewrite(directory.path(), last, next, |entry| {
        entry.truncate(4 + 24);
        entry[3] = 2;
        entry[20..28].copy_from_slice(&next.to_le_bytes());
        entry.extend_from_slice(&[200, 1, 2, 3]);
    });
    for _ in 0..2 {
        let error = refused(directory.path()).await;
        assert!(error.contains(&format!("log entry {next}")) && error.contains("200"), "{error}");
    }
}
