//! Several voters over real connections on loopback: what one acknowledged all have, whoever was asked and whoever is gone.

mod support;

use std::time::Duration;

use dspex_consensus::{ConsensusOptions, Freshness, MemberChange, MemberError, ProposeError, ReadError};
use dspex_model::{NodeId, Outcome, Proposal, RequestId, State};
use support::members::{Cluster, PATIENCE, free_address, options};
use support::{has, must_submit, submit};
use tokio::time::{Instant, sleep, timeout};

fn requested(number: u128) -> Proposal {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_millis();
    Proposal { request: Some(RequestId { request: (now << 80) | number, client: 1 }), ..submit(number) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_asked_all_nodes_have_it() {
    let cluster = Cluster::of(3).await;
    for number in 0..30u128 {
        let asked = cluster.node(number as usize % 3);
        must_submit(asked, number).await;
        let reader = cluster.node((number as usize + 1) % 3);
        assert!(reader.read(|state| has(state, number)).await.expect("readable"), "{number}");
    }
    let state = cluster.settled().await;
    assert!((0..30).all(|number| has(&state, number)));
    let digests: Vec<_> = (0..3).map(|position| cluster.node(position).read_stale(State::digest)).collect();
    assert!(digests.windows(2).all(|pair| pair[0] == pair[1]), "{digests:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_under_way_survives_the_leader_and_is_executed_once() {
    let mut cluster = Cluster::of(3).await;
    for round in 0..3u128 {
        let leader = cluster.leader().await;
        let follower = (leader + 1) % 3;
        let consensus = cluster.node(follower).clone();
        let writes = tokio::spawn(async move {
            let mut outcomes = Vec::new();
            for number in round * 1000..round * 1000 + 200 {
                let proposal = requested(number);
                outcomes.push(consensus.propose(proposal).await.expect("a write that is tried again"));
            }
            outcomes
        });
        sleep(Duration::from_millis(20)).await;
        cluster.stop(leader).await;
        let outcomes = timeout(PATIENCE, writes).await.expect("in time").expect("the task ends well");
        // A second execution would have been refused: the run exists already.
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::RunSubmitted { .. })), "{outcomes:?}");
        cluster.restart(leader).await;
    }
    let state = cluster.settled().await;
    assert!((0..3).all(|round| (round * 1000..round * 1000 + 200).all(|number| has(&state, number))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_quorum_nothing_is_acknowledged_and_fresh_reads_are_refused() {
    let options = ConsensusOptions { time_limit: Duration::from_millis(1500), ..options() };
    let mut cluster = Cluster::with(3, options).await;
    must_submit(cluster.node(0), 1).await;
    cluster.settled().await;
    let leader = cluster.leader().await;
    for position in (0..3).filter(|position| *position != leader) {
        cluster.stop(position).await;
    }
    let alone = cluster.node(leader).clone();
    let error = alone.propose(submit(2)).await.expect_err("nobody else has it");
    assert!(matches!(error, ProposeError::Unknown { .. } | ProposeError::NoLeader), "{error}");
    let error = alone.read(|state| has(state, 1)).await.expect_err("nobody confirms it");
    assert!(matches!(error, ReadError::NoLeader), "{error}");
    let stale = alone.read_at(Freshness::Stale, |state| has(state, 1)).await;
    assert!(stale.expect("a stale read needs nobody"));
    for position in (0..3).filter(|position| *position != leader) {
        cluster.restart(position).await;
    }
    must_submit(cluster.node((leader + 1) % 3), 3).await;
    assert!(has(&cluster.settled().await, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_missed_what_the_log_has_forgotten_gets_a_snapshot() {
    let options = ConsensusOptions { kept_entries: 5, ..options() };
    let mut cluster = Cluster::with(3, options).await;
    let leader = cluster.leader().await;
    let away = (leader + 1) % 3;
    must_submit(cluster.node(leader), 1).await;
    cluster.stop(away).await;
    for number in 2..600 {
        must_submit(cluster.node(leader), number).await;
    }
    for position in cluster.running().collect::<Vec<_>>() {
        cluster.node(position).snapshot().await.expect("a snapshot");
    }
    let purged = async {
        while cluster.node(cluster.leader().await).status().purged_index.is_none_or(|index| index < 100) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, purged).await.expect("the log is purged");
    cluster.restart(away).await;
    let state = cluster.settled().await;
    assert!((1..600).all(|number| has(&state, number)));
    assert!(cluster.node(away).status().snapshot_index.is_some_and(|index| index > 100), "it was installed");
    // What it got it keeps.
    cluster.stop(away).await;
    cluster.restart(away).await;
    assert_eq!(cluster.settled().await, state);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_are_added_promoted_demoted_and_removed_through_any_node() {
    let mut cluster = Cluster::of(3).await;
    for number in 0..50 {
        must_submit(cluster.node(0), number).await;
    }
    let added = cluster.add().await;
    let (node, address) = (cluster.members[added].id, cluster.members[added].address.clone());
    let leader = cluster.leader_among(3).await;
    let asked = cluster.node((leader + 1) % 3);
    let change = |change: MemberChange| async move { asked.change_members(&change, PATIENCE).await };
    change(MemberChange::Add { node, address }).await.expect("added");
    change(MemberChange::Promote { node }).await.expect("promoted");
    assert_eq!(asked.status().voters.len(), 4);
    assert!((0..50).all(|number| cluster.node(added).read_stale(|state| has(state, number))), "it caught up first");
    change(MemberChange::Demote { node, forced: false }).await.expect("demoted");
    let status = cluster.node(leader).status();
    assert_eq!((status.voters.len(), status.learners), (3, vec![node]));
    change(MemberChange::Remove { node, forced: false }).await.expect("removed");
    let status = cluster.node(leader).status();
    assert_eq!((status.voters.len(), status.learners), (3, Vec::new()));
    let error = change(MemberChange::Promote { node: NodeId(99) }).await.expect_err("nobody knows it");
    assert!(matches!(error, MemberError::Refused { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_has_moved_is_found_at_its_new_address() {
    let mut cluster = Cluster::of(3).await;
    let moved = (cluster.leader().await + 1) % 3;
    cluster.stop(moved).await;
    cluster.members[moved].address = free_address();
    must_submit(cluster.node((moved + 1) % 3), 1).await;
    cluster.restart(moved).await;
    let (node, address) = (cluster.members[moved].id, cluster.members[moved].address.clone());
    let asked = cluster.node((moved + 1) % 3);
    asked.change_members(&MemberChange::Add { node, address }, PATIENCE).await.expect("it is known by its new address");
    assert_eq!(asked.status().voters.len(), 3, "it keeps its vote");
    must_submit(asked, 2).await;
    assert!(has(&cluster.settled().await, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_proposed_sees_it_in_its_own_state() {
    let cluster = Cluster::of(3).await;
    for number in 0..100u128 {
        let asked = cluster.node(number as usize % 3);
        must_submit(asked, number).await;
        assert!(asked.read_stale(|state| has(state, number)), "{number}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leadership_is_handed_over_without_a_gap() {
    let cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let next = (leader + 2) % 3;
    let consensus = cluster.node((leader + 1) % 3).clone();
    let (node, begun) = (cluster.members[next].id, Instant::now());
    consensus.change_members(&MemberChange::Transfer { node }, PATIENCE).await.expect("handed over");
    let took = begun.elapsed();
    assert_eq!(cluster.leader().await, next);
    must_submit(cluster.node(leader), 1).await;
    eprintln!("handed over in {took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_reads_what_another_node_has_just_acknowledged() {
    let cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let (writer, reader) = (cluster.node(leader), cluster.node((leader + 1) % 3));
    for number in 0..200 {
        must_submit(writer, number).await;
        for freshness in [Freshness::Linearizable, Freshness::Lease] {
            let found = reader.read_at(freshness, |state| has(state, number)).await.expect("readable");
            assert!(found, "{number} by a {freshness:?} read");
        }
    }
}
