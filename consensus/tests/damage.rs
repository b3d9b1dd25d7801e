//! A log that is not what this node can go on from (a newer version's, an older copy's) stops a node with an error that says
//! so; nothing is skipped, and nothing that was applied is taken back.

mod support;

use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Duration;

use dspex_consensus::{ConsensusOptions, StartError};
use dspex_model::State;
use dspex_storage::{DataDirectory, Done, Options};
use support::members::{Cluster, PATIENCE};
use support::{Node, has, must_submit};
use tokio::time::{sleep, timeout};

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_majority_that_was_put_back_to_older_copies_does_not_take_from_a_node_what_it_has_applied() {
    let mut cluster = Cluster::of(3).await;
    must_submit(cluster.node(0), 1).await;
    cluster.settled().await;
    let copies = tempfile::tempdir().expect("a directory");
    for position in 1..3 {
        cluster.stop(position).await;
        copy(&cluster.members[position].path, &copies.path().join(position.to_string()));
        cluster.restart(position).await;
    }
    for number in 2..20 {
        must_submit(cluster.node(0), number).await;
    }
    let state = cluster.settled().await;
    for position in 0..3 {
        cluster.stop(position).await;
    }
    for position in 1..3 {
        let path = &cluster.members[position].path;
        std::fs::remove_dir_all(path).expect("removed");
        copy(&copies.path().join(position.to_string()), path);
        cluster.restart(position).await;
    }
    must_submit(cluster.node(1), 20).await;
    cluster.restart(0).await;
    let witness = cluster.node(0).clone();
    let failure = async {
        loop {
            if let Some(failure) = witness.status().failure {
                return failure;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    let failure = timeout(PATIENCE, failure).await.expect("it ends, and does not follow").to_string();
    assert!(failure.contains("lost entries that they had acknowledged"), "{failure}");
    assert_eq!(witness.stopped().await, Some(failure));
    assert_eq!(witness.read_stale(State::clone), state, "it has what the others have lost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_was_put_back_to_an_older_copy_gets_the_rest_again() {
    let mut cluster = Cluster::of(3).await;
    must_submit(cluster.node(0), 1).await;
    cluster.settled().await;
    let follower = (cluster.leader().await + 1) % 3;
    let copies = tempfile::tempdir().expect("a directory");
    cluster.stop(follower).await;
    let path = cluster.members[follower].path.clone();
    copy(&path, &copies.path().join("older"));
    cluster.restart(follower).await;
    for number in 2..20 {
        must_submit(cluster.node(follower), number).await;
    }
    cluster.settled().await;
    cluster.stop(follower).await;
    std::fs::remove_dir_all(&path).expect("removed");
    copy(&copies.path().join("older"), &path);
    cluster.restart(follower).await;
    must_submit(cluster.node(follower), 20).await;
    let state = cluster.settled().await;
    assert!((1..=20).all(|number| has(&state, number)));
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("made");
    for entry in std::fs::read_dir(from).expect("readable") {
        let entry = entry.expect("readable");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("known").is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}
