//! Executions on real disks: found after restarts, kills and snapshots, and with their blobs.

mod support;

use std::collections::{BTreeSet, HashSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command as Process, Stdio};
use std::time::{Duration, Instant};

use dspex_consensus::{Consensus, ConsensusOptions, Freshness};
use dspex_model::{
    Command, Digest, Execution, ExecutionId, ExecutionQuery, ExecutionStatus, ExecutionValue, NodeId, Outcome,
    Proposal, RecordedExecution,
};
use support::Node;
use support::members::{Cluster, PATIENCE, options};
use tokio::time::{sleep, timeout};

const DIRECTORY: &str = "DSPEX_TEST_DIRECTORY";
const FIRST: &str = "DSPEX_TEST_FIRST";

fn execution(id: u128) -> Execution {
    Execution {
        id: ExecutionId(id),
        program: format!("program-{}", id % 3),
        program_id: None,
        program_version: None,
        session: None,
        status: if id.is_multiple_of(2) { ExecutionStatus::Succeeded } else { ExecutionStatus::Failed },
        input: ExecutionValue::Inline(id.to_string()),
        output: None,
        trace: None,
        metrics: String::new(),
        error: None,
        duration_us: 1,
        queued_us: 1,
        node: NodeId(1),
        worker: "w".to_owned(),
        actor: None,
        trace_id: None,
    }
}

async fn record(consensus: &Consensus, executions: Vec<Execution>) -> u64 {
    let proposal = Proposal::internal(Command::RecordExecutions { executions });
    match consensus.propose(proposal).await.expect("answered") {
        Outcome::ExecutionsRecorded { first, .. } => first,
        other => panic!("{other:?}"),
    }
}

async fn clear(consensus: &Consensus) {
    let outcome = consensus.propose(Proposal::internal(Command::ClearExecutions)).await.expect("answered");
    assert_eq!(outcome, Outcome::Done);
}

fn all() -> ExecutionQuery {
    ExecutionQuery { limit: 100_000, ..ExecutionQuery::default() }
}

/// All that a node has, newest first, whatever others have.
async fn kept(consensus: &Consensus) -> Vec<(u64, RecordedExecution)> {
    consensus.executions(all(), Freshness::Stale).await.expect("readable").items
}

fn ids(kept: &[(u64, RecordedExecution)]) -> Vec<u128> {
    kept.iter().map(|(_, recorded)| recorded.execution.id.0).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn executions_are_found_by_each_index_before_and_after_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut node = Node::start(directory.path()).await;
    for first in [1, 100, 200] {
        record(&node.consensus, (first..first + 20).map(execution).collect()).await;
    }
    for restart in 0..2 {
        let consensus = &node.consensus;
        let everything = kept(consensus).await;
        assert_eq!(everything.len(), 60);
        for program in 0..3_u128 {
            for status in [None, Some(ExecutionStatus::Failed)] {
                let query = ExecutionQuery { program: Some(format!("program-{program}")), status, ..all() };
                let page = consensus.executions(query, Freshness::Linearizable).await.expect("readable");
                let is_wanted = |id: &u128| id % 3 == program && (status.is_none() || id % 2 == 1);
                let wanted: Vec<u128> = ids(&everything).into_iter().filter(is_wanted).collect();
                assert_eq!(ids(&page.items), wanted, "program {program}, {status:?}");
            }
        }
        let found = consensus.execution(ExecutionId(105), Freshness::Linearizable).await.expect("readable");
        assert_eq!(found.map(|(_, recorded)| recorded.execution), Some(execution(105)));
        assert_eq!(consensus.execution(ExecutionId(7777), Freshness::Stale).await.expect("readable"), None);
        if restart == 0 {
            let state = node.state();
            node.stop().await;
            node = Node::start(directory.path()).await;
            assert_eq!(node.state(), state, "what is in memory comes back without them");
        }
    }
    clear(&node.consensus).await;
    node.stop().await;
    let node = Node::start(directory.path()).await;
    assert_eq!(kept(&node.consensus).await, []);
    node.stop().await;
}

/// The process that the test below starts and kills. Started as a test it has nothing to do.
#[test]
#[expect(clippy::print_stdout, reason = "the parent reads it")]
fn child() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let first: u128 = std::env::var(FIRST).expect("set by the parent").parse().expect("a number");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        // Small limits, so that snapshots and purges are under way when the kill comes.
        let options = ConsensusOptions { snapshot_log_bytes: 32 * 1024, kept_entries: 5, ..Default::default() };
        let node = Node::start_with(Path::new(&directory), options).await;
        for number in first.. {
            if number % 50 == 49 {
                clear(&node.consensus).await;
                println!("cleared before {number}");
            }
            record(&node.consensus, vec![execution(2 * number), execution(2 * number + 1)]).await;
            println!("acknowledged {number}");
        }
    });
}

/// Kills the child in its work. The numbers that it has had acknowledged since it has had all forgotten, and the first of these.
fn run_and_kill(directory: &Path, first: u128, least: usize) -> (Option<u128>, Vec<u128>) {
    let mut child = Process::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "child", "--nocapture"])
        .env(DIRECTORY, directory)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the child starts");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let (mut cleared, mut acknowledged) = (None, Vec::new());
    let (mut seen, mut killed, deadline) = (0, false, Instant::now() + Duration::from_secs(60));
    for line in lines {
        let line = line.expect("readable");
        let number = |word: &str| line.split(word).nth(1).and_then(|text| text.trim().parse::<u128>().ok());
        if let Some(number) = number("cleared before ") {
            (cleared, acknowledged) = (Some(number), Vec::new());
        }
        acknowledged.extend(number("acknowledged "));
        seen += 1;
        if !killed && (seen >= least || Instant::now() > deadline) {
            child.kill().expect("killed");
            killed = true;
        }
    }
    let status = child.wait().expect("ended");
    assert!(killed && !status.success(), "the child ended by itself: {status}");
    (cleared, acknowledged)
}

#[test]
fn kill_9_loses_no_execution_that_was_acknowledged_and_brings_none_back_that_was_forgotten() {
    let directory = tempfile::tempdir().expect("a directory");
    for round in 0..5_u128 {
        let first = round * 1_000_000;
        let (cleared, acknowledged) = run_and_kill(directory.path(), first, 80 + 137 * round as usize);
        let cleared = cleared.expect("it came so far");
        tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
            let node = Node::start(directory.path()).await;
            let kept = kept(&node.consensus).await;
            let numbers: Vec<u64> = kept.iter().map(|(number, _)| *number).collect();
            assert!(numbers.is_sorted_by(|newer, older| *newer == older + 1), "{numbers:?}");
            let ids: BTreeSet<u128> = ids(&kept).into_iter().collect();
            assert_eq!(ids.len(), kept.len());
            // All may have been forgotten once more without that anybody has heard of it.
            let last_clear = ids.first().map(|id| id / 2).unwrap_or_else(|| {
                let next = acknowledged.last().map_or(cleared, |last| last + 1);
                assert_eq!(next % 50, 49, "all are gone, and nobody has removed them");
                next
            });
            assert!(last_clear >= cleared, "{last_clear} was forgotten before {cleared}");
            let lost: Vec<_> =
                acknowledged.iter().filter(|number| **number >= last_clear && !ids.contains(&(*number * 2))).collect();
            eprintln!("round {round}: {} acknowledged since {cleared}, {} kept", acknowledged.len(), ids.len());
            assert!(lost.is_empty(), "lost: {lost:?}");
            // Each is in its indexes, too, and nothing else is.
            for status in [ExecutionStatus::Succeeded, ExecutionStatus::Failed] {
                let query = ExecutionQuery { status: Some(status), ..all() };
                let page = node.consensus.executions(query, Freshness::Stale).await.expect("readable");
                assert_eq!(page.items.len() * 2, kept.len());
            }
            node.stop().await;
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_away_for_long_gets_them_as_a_snapshot_with_what_was_removed_meanwhile() {
    let mut cluster = Cluster::with(3, ConsensusOptions { kept_entries: 5, ..options() }).await;
    let leader = cluster.leader().await;
    let away = (leader + 1) % 3;
    record(cluster.node(leader), (1..=20).map(execution).collect()).await;
    cluster.settled().await;
    assert_eq!(kept(cluster.node(away)).await.len(), 20);
    cluster.stop(away).await;
    clear(cluster.node(leader)).await;
    // Entries are purged some hundreds at once.
    for first in (1000..6000).step_by(10) {
        record(cluster.node(leader), (first..first + 10).map(execution).collect()).await;
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
    cluster.settled().await;
    assert!(cluster.node(away).status().snapshot_index.is_some_and(|index| index > 100), "it was installed");
    let expected = kept(cluster.node(leader)).await;
    assert_eq!(expected.len(), 5000);
    assert_eq!(kept(cluster.node(away)).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn their_blobs_come_to_who_was_away_and_are_nobodys_when_they_are_forgotten() {
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let away = (leader + 1) % 3;
    cluster.stop(away).await;
    let store = |cluster: &Cluster, position: usize| {
        cluster.members[position].running.as_ref().expect("it runs").data.blobs().clone()
    };
    let digest = store(&cluster, leader).put(b"an output").expect("stored");
    cluster.node(leader).spread(&[digest]).await.expect("a majority is there");
    let output = Some(ExecutionValue::Blob { digest, bytes: 9 });
    let number = record(cluster.node(leader), vec![Execution { output, ..execution(1) }, execution(2)]).await;
    cluster.restart(away).await;
    let arriving = async {
        while !store(&cluster, away).contains(&digest).expect("readable") {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, arriving).await.expect("it arrives");

    let asked = cluster.node(leader).clone();
    let candidates = || HashSet::from([digest, Digest::of(b"another")]);
    let unnamed = |from| {
        let asked = asked.clone();
        async move { asked.unnamed(candidates(), from).await.expect("readable") }
    };
    let another = HashSet::from([Digest::of(b"another")]);
    assert_eq!(unnamed(0).await, (another, number + 2));
    assert_eq!(unnamed(number + 1).await.0, candidates(), "only later ones are looked at");
    clear(&asked).await;
    assert_eq!(unnamed(0).await.0, candidates());
}
