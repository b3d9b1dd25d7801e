//! One voter: what it acknowledged is there after a restart, and the handle behaves as it says.

mod support;

use std::time::Duration;

use dspex_consensus::{ConsensusOptions, EffectEvent, ProposeError};
use dspex_model::{Effect, NodeId};
use support::{Node, has, must_submit, submit, tick};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_proposed_is_there_after_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let node = Node::start(directory.path()).await;
    for number in 1..=50 {
        must_submit(&node.consensus, number).await;
    }
    let before = node.state();
    let status = node.consensus.status();
    assert!(status.is_leader);
    assert_eq!((status.voters.clone(), status.failure.clone()), (vec![NodeId(1)], None));
    node.stop().await;

    for _ in 0..3 {
        let node = Node::start(directory.path()).await;
        assert_eq!(node.state(), before);
        assert!(node.consensus.status().term > status.term);
        node.stop().await;
    }
    let node = Node::start(directory.path()).await;
    must_submit(&node.consensus, 51).await;
    assert!(node.consensus.read(|state| has(state, 51)).await.expect("readable"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_idle_still_writes_and_reads() {
    let directory = tempfile::tempdir().expect("a directory");
    let node = Node::start(directory.path()).await;
    let entries = node.consensus.status().last_index;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(node.consensus.status().last_index, entries, "an idle node writes nothing");
    must_submit(&node.consensus, 1).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(node.consensus.read(|state| has(state, 1)).await.expect("readable"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_proposals_share_a_sync() {
    const TASKS: u128 = 64;
    const EACH: u128 = 160;
    let directory = tempfile::tempdir().expect("a directory");
    let node = Node::start(directory.path()).await;
    let before = node.data.log().statistics();
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let consensus = node.consensus.clone();
            tokio::spawn(async move {
                for number in 0..EACH {
                    must_submit(&consensus, task * EACH + number).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("the task ends well");
    }
    let after = node.data.log().statistics();
    let (entries, syncs) = (after.appended_entries - before.appended_entries, after.syncs - before.syncs);
    eprintln!("{entries} entries, {syncs} syncs");
    assert_eq!(u128::from(entries), TASKS * EACH);
    assert!(syncs < entries / 4, "{entries} entries took {syncs} syncs");
    let state = node.state();
    node.stop().await;
    let node = Node::start(directory.path()).await;
    assert_eq!(node.state(), state);
    assert!((0..TASKS * EACH).all(|number| has(&state, number)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_see_applied_entries_and_the_end() {
    let directory = tempfile::tempdir().expect("a directory");
    let node = Node::start(directory.path()).await;
    let mut applied = node.consensus.watch();
    let mut effects = node.consensus.effects();
    let before = *applied.borrow_and_update();
    must_submit(&node.consensus, 7).await;
    assert!(*applied.borrow_and_update() > before);
    let event = effects.next().await.expect("an event");
    let EffectEvent::Effects { effects: list, .. } = event else { panic!("{event:?}") };
    assert!(matches!(list[..], [Effect::OwnRun { owner: NodeId(1), .. }]), "{list:?}");

    let consensus = node.consensus.clone();
    node.consensus.shutdown().await;
    assert!(applied.changed().await.is_err());
    assert_eq!(effects.next().await, None);
    assert_eq!(consensus.effects().next().await, None);
    assert_eq!(consensus.stopped().await, None);
    let error = consensus.propose(tick()).await.expect_err("it has stopped");
    assert!(matches!(error, ProposeError::Stopped { .. }) && error.outcome_unknown(), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_falls_behind_is_told_so() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = ConsensusOptions { effect_backlog: 4, ..ConsensusOptions::default() };
    let node = Node::start_with(directory.path(), options).await;
    let mut effects = node.consensus.effects();
    for number in 0..20 {
        must_submit(&node.consensus, number).await;
    }
    assert_eq!(effects.next().await, Some(EffectEvent::Missed));
    assert!(matches!(effects.next().await, Some(EffectEvent::Effects { .. })));
    assert_eq!(node.consensus.read_stale(|state| state.pending(NodeId(1)).len()), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proposal_beyond_the_bound_waits_and_is_then_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = ConsensusOptions { in_flight: 0, time_limit: Duration::from_millis(50), ..Default::default() };
    let node = Node::start_with(directory.path(), options).await;
    let error = node.consensus.propose(submit(1)).await.expect_err("nothing fits");
    assert!(matches!(error, ProposeError::Busy) && !error.outcome_unknown(), "{error}");
    assert!(!has(&node.state(), 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_cut_behind_a_snapshot_and_the_state_survives() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = ConsensusOptions { snapshot_log_bytes: 64 * 1024, kept_entries: 10, ..Default::default() };
    let node = Node::start_with(directory.path(), options.clone()).await;
    let mut number = 0;
    while node.consensus.status().purged_index.is_none() {
        must_submit(&node.consensus, number).await;
        number += 1;
        assert!(number < 20_000, "no snapshot after {number} proposals");
    }
    for more in 0..100 {
        must_submit(&node.consensus, number + more).await;
    }
    let reached = node.consensus.snapshot().await.expect("a snapshot");
    assert!(node.consensus.status().snapshot_index >= Some(reached));
    must_submit(&node.consensus, number + 100).await;
    let (state, purged) = (node.state(), node.consensus.status().purged_index);
    assert!(node.data.log().bounds().first > Some(1));
    node.stop().await;

    let node = Node::start_with(directory.path(), options).await;
    assert_eq!(node.state(), state);
    assert!(node.consensus.status().purged_index >= purged);
    must_submit(&node.consensus, number + 101).await;
}
