//! What the log names can be read as long as a quorum lives.

mod support;

use std::time::Duration;

use dspex_consensus::{BlobError, MemberChange, MemberError};
use dspex_model::{Command, Digest, Proposal};
use dspex_storage::BlobStore;
use support::members::{Cluster, PATIENCE};
use support::{must_submit, run_id, submit};
use tokio::time::{sleep, timeout};

fn store(cluster: &Cluster, position: usize) -> BlobStore {
    cluster.members[position].running.as_ref().expect("it runs").data.blobs().clone()
}

/// Bytes that are no other's; more than a piece.
fn large(seed: u8) -> Vec<u8> {
    (0..3_500_000_u32).map(|number| (number.wrapping_mul(31) >> 3) as u8 ^ seed).collect()
}

fn has(cluster: &Cluster, position: usize, digest: &Digest) -> bool {
    store(cluster, position).contains(digest).expect("readable")
}

async fn arrives(cluster: &Cluster, position: usize, digest: &Digest) {
    let arriving = async {
        while !has(cluster, position, digest) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, arriving).await.expect("it arrives");
}

/// A run whose dataset is this blob.
fn naming(number: u128, dataset: Digest) -> Proposal {
    let mut proposal = submit(number);
    if let Command::SubmitRun(submission) = &mut proposal.command {
        submission.spec.dataset.digest = dataset;
    }
    proposal
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_spread_is_on_a_majority_and_can_be_read_without_its_first_node() {
    let mut cluster = Cluster::of(3).await;
    let (bytes, small) = (large(1), b"a small one".to_vec());
    let digests = store(&cluster, 0).put_many(&[&bytes, &small]).expect("stored");
    cluster.node(0).spread(&digests).await.expect("spread");
    for digest in &digests {
        assert!((0..3).filter(|position| has(&cluster, *position, digest)).count() >= 2);
    }
    cluster.node(0).propose(naming(1, digests[0])).await.expect("proposed");
    cluster.stop(0).await;
    for position in [1, 2] {
        cluster.node(position).obtain(digests.clone()).await.expect("another node has it");
        assert_eq!(store(&cluster, position).get(&digests[0]).expect("readable"), Some(bytes.clone()));
        assert_eq!(store(&cluster, position).get(&digests[1]).expect("readable"), Some(small.clone()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_majority_nothing_is_promised() {
    let mut cluster = Cluster::of(3).await;
    cluster.stop(1).await;
    cluster.stop(2).await;
    let digest = store(&cluster, 0).put(b"alone").expect("stored");
    let error = cluster.node(0).spread(&[digest]).await.expect_err("nobody else has it");
    assert!(matches!(error, BlobError::NotSpread { have: 1, voters: 3, needed: 2, .. }), "{error}");
    let nowhere = Digest::of(b"nowhere");
    let error = cluster.node(0).obtain([nowhere]).await.expect_err("it is nowhere");
    assert!(error.to_string().contains(&nowhere.to_string()), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_away_gets_what_it_missed() {
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let away = (leader + 1) % 3;
    cluster.stop(away).await;
    let digest = store(&cluster, leader).put(&large(2)).expect("stored");
    cluster.node(leader).spread(&[digest]).await.expect("a majority is there");
    cluster.node(leader).propose(naming(1, digest)).await.expect("proposed");
    cluster.restart(away).await;
    arrives(&cluster, away, &digest).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_gets_a_vote_only_when_it_has_every_blob() {
    let mut cluster = Cluster::of(3).await;
    must_submit(cluster.node(0), 1).await;
    let leader = cluster.leader().await;
    let digest = store(&cluster, leader).put(&large(3)).expect("stored");
    cluster.node(leader).spread(&[digest]).await.expect("spread");
    cluster.node(leader).propose(naming(2, digest)).await.expect("proposed");
    // The log names it, and nobody has it.
    let lost = Digest::of(b"lost");
    cluster.node(leader).propose(naming(3, lost)).await.expect("proposed");
    let added = cluster.add().await;
    let (node, address) = (cluster.members[added].id, cluster.members[added].address.clone());
    let change = |change: MemberChange, limit| {
        let asked = cluster.node(leader).clone();
        async move { asked.change_members(&change, limit).await }
    };
    change(MemberChange::Add { node, address }, PATIENCE).await.expect("added");
    let error = change(MemberChange::Promote { node }, Duration::from_secs(3)).await.expect_err("it lacks one");
    assert!(matches!(&error, MemberError::Refused { detail } if detail.contains("lacks 1 of them")), "{error}");
    assert!(has(&cluster, added, &digest), "what others have it has copied");
    let run = Command::CancelRun { run: run_id(3), reason: String::new() };
    cluster.node(leader).propose(Proposal::internal(run)).await.expect("cancelled");
    let run = Command::DeleteRun { run: run_id(3) };
    cluster.node(leader).propose(Proposal::internal(run)).await.expect("deleted");
    change(MemberChange::Promote { node }, PATIENCE).await.expect("promoted");
    assert_eq!(cluster.node(leader).status().voters.len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_goes_only_when_the_others_have_what_it_has() {
    let cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let (asked, going) = (cluster.node(leader).clone(), cluster.members[(leader + 1) % 3].id);
    let lost = Digest::of(b"lost");
    asked.propose(naming(1, lost)).await.expect("proposed");
    let change = |forced| MemberChange::Remove { node: going, forced };
    let error = asked.change_members(&change(false), Duration::from_secs(3)).await.expect_err("a blob is missing");
    assert!(matches!(&error, MemberError::Refused { detail } if detail.contains("lacks 1 of them")), "{error}");
    asked.change_members(&change(true), PATIENCE).await.expect("forced");
    assert_eq!(asked.status().voters.len(), 2);
}
