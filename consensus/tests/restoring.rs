//! From an image of one cluster's state to a cluster of its own.

mod support;

use std::path::Path;
use std::time::Duration;

use dspex_consensus::{Consensus, ConsensusOptions, Freshness, LogPosition, MemberChange, StateImage, begin_log};
use dspex_model::{NodeId, State};
use dspex_storage::{DataDirectory, Options, Restoration};
use support::members::{CLUSTER, PATIENCE, Running, free_address, options, start};
use support::{NAMED, Node, has, must_submit};
use tokio::time::{sleep, timeout};

const RESTORED: NodeId = NodeId(7);

fn read(image: &StateImage) -> State {
    let mut state = State::new();
    let header = image.file.read(|key, value| state.replay(key, Some(value)).map_err(std::io::Error::other));
    assert_eq!(LogPosition::of(&header.expect("whole")).expect("a position"), image.position);
    state
}

/// A directory for a node of a new cluster that begins with this state.
fn restore(path: &Path, state: &State, after: LogPosition, address: &str) -> LogPosition {
    let restoration = Restoration::begin(path, RESTORED, CLUSTER).expect("begun");
    restoration.data().blobs().put_many(&NAMED).expect("stored");
    let at = begin_log(restoration.data(), state, after, address).expect("written");
    restoration.finish().expect("finished");
    at
}

async fn image_of_some_runs() -> (State, LogPosition) {
    let directory = tempfile::tempdir().expect("a directory");
    let node = Node::start(directory.path()).await;
    for number in 1..=20 {
        must_submit(&node.consensus, number).await;
    }
    let image = node.consensus.image(Freshness::Linearizable).await.expect("an image");
    assert!(!image.file.path().exists(), "nothing is left of it when this process ends");
    assert_eq!(Some(image.position.index), node.consensus.status().applied_index);
    let (state, position) = (read(&image), image.position);
    assert_eq!(state, node.state());
    must_submit(&node.consensus, 21).await;
    assert_eq!(read(&image), state, "what comes later is not in it");
    drop(image);
    node.stop().await;
    (state, position)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_starts_with_a_state_that_it_was_given_and_goes_on() {
    let (state, after) = image_of_some_runs().await;
    let state = state.restored(CLUSTER, "a test");
    let home = tempfile::tempdir().expect("a directory");
    let path = home.path().join("data");
    let at = restore(&path, &state, after, "");
    assert!(at > after && at.index == after.index + 1);
    let mut term = at.term;
    for start in 0..3_u128 {
        let data = DataDirectory::open(&path, &Options::cluster(NodeId(1))).expect("the directory opens");
        let consensus = Consensus::start(&data, ConsensusOptions::default(), None).await.expect("it starts");
        let status = consensus.status();
        assert_eq!((status.node_id, status.is_leader, status.voters), (RESTORED, true, vec![RESTORED]));
        assert!(status.term > term && status.applied_index > Some(at.index), "neither goes back");
        term = status.term;
        let held = consensus.read(State::clone).await.expect("readable");
        if start == 0 {
            assert_eq!(held, state);
        }
        assert!((1..=20).all(|number| has(&held, number)) && !has(&held, 21));
        assert!((0..start).all(|number| has(&held, 100 + number)));
        must_submit(&consensus, 100 + start).await;
        consensus.shutdown().await;
        drop(consensus);
        data.close().expect("the directory closes");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_node_grows_into_a_cluster_that_survives_it() {
    let (state, after) = image_of_some_runs().await;
    let home = tempfile::tempdir().expect("a directory");
    let (path, address) = (home.path().join("data"), free_address());
    restore(&path, &state.restored(CLUSTER, "a test"), after, &address);
    let first = start(RESTORED, &path, &address, &options()).await;
    must_submit(&first.consensus, 100).await;
    let mut others = Vec::new();
    for node in [NodeId(8), NodeId(9)] {
        let address = free_address();
        others.push(start(node, &home.path().join(node.to_string()), &address, &options()).await);
        for change in [MemberChange::Add { node, address }, MemberChange::Promote { node }] {
            first.consensus.change_members(&change, PATIENCE).await.expect("changed");
        }
    }
    let Running { data, consensus, transport } = first;
    consensus.shutdown().await;
    transport.close();
    drop((consensus, transport));
    data.close().expect("the directory closes");

    for other in &others {
        let read = async {
            loop {
                match other.consensus.read(State::clone).await {
                    Ok(state) => break state,
                    Err(_) => sleep(Duration::from_millis(20)).await,
                }
            }
        };
        let held = timeout(PATIENCE, read).await.expect("a leader");
        assert!((1..=20).all(|number| has(&held, number)) && has(&held, 100));
    }
    must_submit(&others[0].consensus, 101).await;
}
