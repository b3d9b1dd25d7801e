//! Only what was in flight runs again, whichever node is lost: counted by what the program does, not by what nodes say of it. And what
//! is cancelled, or must not run twice, is called for no more.
//!
//! What is asserted stands in docs/src/explanation/{distribution,durability}.md. The judgement itself is tried in `loss`.

mod ledger;
mod loss;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dspex_api::v1::RunResultsRequest;
use dspex_tests::{Cluster, holds_within, process, wait_until};

use self::ledger::{Ledger, Subject};
use self::loss::{Loss, Lost, THREADS};
use super::distribution::{self, EXAMPLES, finished, lines_are_up, show, undisturbed, wait_for, workers};
use crate::subject::EVAL;

const PATIENCE: Duration = Duration::from_secs(120);
/// Of an example, in seconds: so long that a node which executes has something in hand at any time.
const SECONDS: f64 = 0.2;
/// The node that is asked for the run owns it.
const OWNER: usize = 0;

/// Three voters whose lines are up.
fn cluster() -> Cluster {
    let cluster = Cluster::of(3);
    assert!(holds_within(PATIENCE, || lines_are_up(&cluster)), "{}", cluster.node(0).log());
    cluster
}

/// A run that goes on without its caller and executes nothing twice.
fn begin_without_retries(cluster: &Cluster, subject: &Subject) -> String {
    let threads = THREADS.to_string();
    let more = ["--num-threads", &threads, "--max-errors", "1000", "--retries", "0", "--detach"];
    let arguments = [&EVAL[..], &more].concat();
    let begun = cluster.dspex(OWNER, &arguments).directory(subject.project.directory()).run().expect(0).object();
    begun["run_id"].as_str().expect("an id").to_owned()
}

/// The examples that have a result, and what they failed of, as a node says.
fn results(cluster: &Cluster, asked: usize, run: &str) -> BTreeMap<u32, Option<String>> {
    let request = RunResultsRequest { run_id: run.to_owned(), ..RunResultsRequest::default() };
    let read = cluster.ask(asked, async |client| {
        let mut stream = client.results(request).await?;
        let mut results = BTreeMap::new();
        while let Some(batch) = stream.message().await? {
            let of_batch = batch.results.into_iter();
            results.extend(of_batch.map(|result| (result.index, result.failure.map(|failure| failure.r#type))));
        }
        Ok(results)
    });
    read.expect("the node answers")
}

/// Waits until some results are recorded and all three nodes execute. What they execute from then on is held, so that the run is not over
/// before that, however long a node takes.
fn hold_at_all(cluster: &Cluster, subject: &Subject, run: &str) {
    wait_for(cluster, OWNER, run, 20);
    subject.hold();
    until_all_execute(subject);
}

fn until_all_execute(subject: &Subject) {
    let all_execute = || subject.ledger().nodes() == BTreeSet::from([0, 1, 2]);
    assert!(holds_within(PATIENCE, all_execute), "{:?} execute", subject.ledger().nodes());
}

/// Makes a node the leader, unless it is.
fn lead(cluster: &Cluster, position: usize) {
    let name = format!("node-{position}");
    let leads = || {
        let leads = cluster.leader() == position;
        if !leads {
            // It may be refused while the cluster is about to have another one.
            cluster.dspex(position, &["member", "transfer-leader", &name]).run();
        }
        leads
    };
    assert!(holds_within(PATIENCE, leads), "node {position} does not lead");
}

/// Kills a node that has something of the run in hand: which examples had a result, and how many calls had begun before and by then.
fn kill_in_flight(cluster: &mut Cluster, subject: &Subject, run: &str, node: usize) -> (BTreeSet<u32>, (usize, usize)) {
    let (recorded, before) = wait_until("the node has something in hand", PATIENCE, || {
        let recorded: BTreeSet<u32> = results(cluster, node, run).into_keys().collect();
        let ledger = subject.ledger();
        (!ledger.under_way(node, &recorded).is_empty()).then(|| (recorded, ledger.calls()))
    });
    cluster.kill(node);
    assert!(recorded.len() + 10 * THREADS < EXAMPLES, "the run was nearly over: {} results", recorded.len());
    (recorded, (before, subject.ledger().calls()))
}

/// The run came to what it comes to where nothing breaks, and ran again only what the loss explains.
#[track_caller]
fn expect_explained(cluster: &Cluster, subject: &Subject, run: &str, asked: usize, loss: &Loss) {
    let shown = finished(cluster, asked, run);
    let ledger = subject.ledger();
    let repeats = ledger.repeats();
    eprintln!("{:?}: {} calls of {EXAMPLES} examples, {} again", loss.what, ledger.calls(), repeats.len());
    let unexplained = loss.unexplained(&ledger);
    assert!(unexplained.is_empty(), "{loss:?}\n{}", unexplained.join("\n"));
    // The control: the node had something in hand, so something was lost.
    assert!(!repeats.is_empty(), "nothing was lost");
    subject.hurry();
    let alone = undisturbed(&subject.project);
    assert_eq!((&shown["digest"], &shown["score"]), (&alone["digest"], &alone["score"]));
    assert!(shown["digest"].is_string(), "{shown}");
}

/// Whether a leader has given the run another owner, as far as those say that run.
fn has_moved(cluster: &Cluster) -> bool {
    cluster.running().iter().any(|&position| cluster.node(position).log().contains("a run has another owner"))
}

/// Loses a node that is not the run's owner, while node `leader` leads.
#[track_caller]
fn expect_only_its_own_again(lost: usize, leader: usize) {
    let (subject, mut cluster) = (Subject::new(EXAMPLES, SECONDS), cluster());
    let run = distribution::begin(&cluster, OWNER, &subject.project);
    hold_at_all(&cluster, &subject, &run);
    lead(&cluster, leader);
    subject.release();
    let (recorded, calls) = kill_in_flight(&mut cluster, &subject, &run, lost);
    let loss = Loss { what: Lost::Workers(lost), recorded, calls, examples: EXAMPLES };
    expect_explained(&cluster, &subject, &run, OWNER, &loss);
    assert!(!has_moved(&cluster), "the run has another owner: this was to be another test");
}

#[test]
fn the_loss_of_the_leader_repeats_only_what_it_had_in_hand_as_a_worker() {
    expect_only_its_own_again(1, 1);
}

#[test]
fn the_loss_of_a_node_that_neither_leads_nor_owns_the_run_repeats_only_what_it_had_in_hand() {
    expect_only_its_own_again(2, 1);
}

#[test]
fn the_loss_of_the_owner_repeats_only_what_was_in_hand_anywhere() {
    let (subject, mut cluster) = (Subject::new(EXAMPLES, SECONDS), cluster());
    let run = distribution::begin(&cluster, OWNER, &subject.project);
    hold_at_all(&cluster, &subject, &run);
    subject.release();
    let (recorded, calls) = kill_in_flight(&mut cluster, &subject, &run, OWNER);
    let loss = Loss { what: Lost::Owner, recorded, calls, examples: EXAMPLES };
    expect_explained(&cluster, &subject, &run, 1, &loss);
    assert!(has_moved(&cluster), "nobody says that the run has another owner");
}

/// So long that each thread begins at most one more example while the others hear of it.
const LONG_SECONDS: f64 = 5.0;

#[test]
fn a_cancelled_run_ends_on_all_its_nodes_and_calls_nothing_more_than_was_on_its_way() {
    let (subject, cluster) = (Subject::new(EXAMPLES, LONG_SECONDS), cluster());
    subject.hold();
    let run = distribution::begin(&cluster, OWNER, &subject.project);
    until_all_execute(&subject);
    subject.release();
    // Through a node that does not own it.
    cluster.dspex(1, &["run", "cancel", &run]).run().expect(0);
    let answered = subject.ledger();
    assert!(answered.begun().len() < EXAMPLES, "the run was over before it was cancelled");
    for position in 0..3 {
        assert!(holds_within(PATIENCE, || workers(&cluster, position, &run) == 0), "node {position} keeps workers");
        assert!(holds_within(PATIENCE, || show(&cluster, position, &run)["status"] == "cancelled"), "node {position}");
    }
    // Nobody is left who could be called.
    for worker in subject.ledger().processes() {
        assert!(process::ends_within(worker, PATIENCE), "process {worker} of the run is still there");
    }
    let ended = subject.ledger();
    let late = ended.calls() - answered.calls();
    assert!(late <= THREADS, "{late} calls began after the run was cancelled");
    // And nobody begins it again while the nodes do something else.
    let other = Subject::new(EXAMPLES, 0.01);
    let next = distribution::begin(&cluster, 2, &other.project);
    finished(&cluster, 1, &next);
    assert_eq!((subject.ledger(), show(&cluster, 2, &run)["status"].as_str()), (ended, Some("cancelled")));
}

#[test]
fn without_retries_what_a_lost_node_had_in_hand_fails_and_nothing_is_called_for_twice() {
    const LOST: usize = 2;
    let (subject, mut cluster) = (Subject::new(EXAMPLES, SECONDS), cluster());
    let run = begin_without_retries(&cluster, &subject);
    hold_at_all(&cluster, &subject, &run);
    lead(&cluster, 1);
    subject.release();
    let (recorded, _) = kill_in_flight(&mut cluster, &subject, &run, LOST);
    let shown = finished(&cluster, OWNER, &run);
    let (ledger, results) = (subject.ledger(), results(&cluster, OWNER, &run));
    assert!(!has_moved(&cluster), "the run has another owner: this was to be another test");
    assert_eq!(ledger.repeats(), [], "something was called for twice");
    assert_eq!(results.len(), EXAMPLES);
    let failed: BTreeSet<u32> = results.iter().filter(|(_, why)| why.is_some()).map(|(&index, _)| index).collect();
    assert_eq!(shown["failed"], failed.len(), "{shown}");
    assert!(results.values().flatten().all(|why| why == "WorkerLost"), "{results:?}");
    // What it had been given may have been lost before it was called for; what had a result stays.
    let begun = ledger.begun();
    let lost: BTreeSet<u32> = (0..).take(EXAMPLES).filter(|example| !begun.contains(example)).collect();
    let in_hand: BTreeSet<u32> = ledger.under_way(LOST, &recorded).union(&lost).copied().collect();
    assert!(failed.is_subset(&in_hand), "{:?} failed without a reason", failed.difference(&in_hand));
    assert!(lost.is_subset(&failed), "never called for, and no failure: {:?}", lost.difference(&failed));
    assert!(!failed.is_empty() && lost.len() <= THREADS, "{failed:?} failed, {lost:?} were never called for");
}

/// The heir cannot know what was under way.
#[test]
fn without_retries_another_owner_executes_what_has_no_result_and_nothing_fails() {
    let (subject, mut cluster) = (Subject::new(EXAMPLES, SECONDS), cluster());
    let run = begin_without_retries(&cluster, &subject);
    hold_at_all(&cluster, &subject, &run);
    subject.release();
    let (recorded, calls) = kill_in_flight(&mut cluster, &subject, &run, OWNER);
    let loss = Loss { what: Lost::Owner, recorded, calls, examples: EXAMPLES };
    expect_explained(&cluster, &subject, &run, 1, &loss);
    assert_eq!(show(&cluster, 1, &run)["failed"], 0);
    assert!(has_moved(&cluster), "nobody says that the run has another owner");
}

/// The control of the count: a program that is executed again without a loss is seen in its ledger.
#[test]
fn a_run_that_is_evaluated_twice_is_seen_by_its_ledger_as_repeats_without_a_reason() {
    let (subject, cluster) = (Subject::new(EXAMPLES, 0.01), Cluster::of(1));
    let first = distribution::begin(&cluster, OWNER, &subject.project);
    finished(&cluster, OWNER, &first);
    let once: Ledger = subject.ledger();
    let recorded: BTreeSet<u32> = results(&cluster, OWNER, &first).into_keys().collect();
    assert_eq!((once.calls(), once.repeats().len(), recorded.len()), (EXAMPLES, 0, EXAMPLES));
    let again = distribution::begin(&cluster, OWNER, &subject.project);
    finished(&cluster, OWNER, &again);
    let loss = Loss { what: Lost::Owner, recorded, calls: (once.calls(), once.calls()), examples: EXAMPLES };
    assert_eq!(loss.unexplained(&subject.ledger()).len(), EXAMPLES, "each example ran again though it had a result");
}
