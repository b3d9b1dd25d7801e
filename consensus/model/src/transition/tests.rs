//! Each transition by its promise, through `State::apply` alone. Here those of runs.

mod access;
mod draining;
mod execution_pages;
mod executions;
mod homes;
mod pauses;
mod programs;
mod replay;
mod restore;
mod retries;
mod sessions;
mod story;
mod variables;
mod weights;

use self::story::Story;
use crate::{
    Command, Dataset, Digest, Effect, ExampleResult, FailureReference, NodeId, NodeInfo, Outcome, Proposal,
    RUN_RETENTION_MS, RecordedResult, Rejection, RequestId, RunId, RunSpec, RunStatus, RunSubmission, Score, ScoreKind,
    Shipped, State, SumRule, UsageEntry,
};

const NODE: NodeId = NodeId(1);
const RUN: RunId = RunId(7);

fn score(value: f64) -> Score {
    Score { value, kind: ScoreKind::Float }
}

pub(crate) fn spec(examples: u32, max_errors: u32) -> RunSpec {
    RunSpec {
        program: "qa.py:program".into(),
        program_class: "Predict".into(),
        metric: "exact".into(),
        metric_name: "exact".into(),
        lm: None,
        lm_settings: Vec::new(),
        lm_answers: "program's own".into(),
        inputs: vec!["question".into()],
        saved_state: None,
        dataset: Dataset {
            digest: Digest::of(b"rows"),
            name: "dev.jsonl".into(),
            examples,
            columns: None,
            text_cells: false,
        },
        num_threads: 8,
        workers: 2,
        timeout_ms: None,
        retries: 1,
        max_errors,
        failure_score: score(0.0),
        environment: Vec::new(),
        directory: "/work".into(),
        interpreter: "/usr/bin/python3".into(),
        python_version: "3.11.7".into(),
        dspy_version: "3.4.1".into(),
        sum_rule: SumRule::Plain,
        sources: Digest::of(b"sources"),
        specification: Digest::of(b"specification"),
        shipped: None,
    }
}

fn result(index: u32, value: f64) -> RecordedResult {
    RecordedResult {
        index,
        result: ExampleResult {
            score: score(value),
            attempt: 1,
            duration_us: 10,
            prediction: Some(Digest::of(&index.to_be_bytes())),
            canonical: None,
            failure: None,
        },
        usage: vec![UsageEntry { model: 0, kind: 1, tokens: 5 }],
        cost_nanousd: Some(2),
    }
}

fn failed(index: u32) -> RecordedResult {
    let mut failed = result(index, 0.0);
    failed.result.prediction = None;
    failed.result.failure =
        Some(FailureReference { class: "builtins.ValueError".into(), detail: Digest::of(b"detail") });
    failed
}

impl Story {
    fn with_run(examples: u32, max_errors: u32) -> Self {
        Self::with(spec(examples, max_errors))
    }

    fn with_shipped_run(examples: u32, max_errors: u32) -> Self {
        Self::with(RunSpec { shipped: Some(Box::default()), ..spec(examples, max_errors) })
    }

    fn with(spec: RunSpec) -> Self {
        let mut story = Self::default();
        let submission = RunSubmission { run: RUN, owner: NODE, detached: false, spec };
        let (outcome, effects) = story.apply(Command::from(submission));
        assert_eq!(outcome, Outcome::RunSubmitted { run: RUN, epoch: 1 });
        assert_eq!(effects, story.state.pending(NODE));
        story
    }

    fn record(&mut self, generation: u64, results: Vec<RecordedResult>) -> Outcome {
        let names = vec!["model".into(), "total_tokens".into()];
        self.apply(Command::RecordResults { run: RUN, generation, names, results }).0
    }

    fn status(&self) -> RunStatus {
        self.state.run(RUN).expect("the run exists").progress.status
    }
}

fn recorded(recorded: u32, duplicates: u32, status: RunStatus) -> Outcome {
    Outcome::ResultsRecorded { recorded, duplicates, status }
}

#[test]
fn what_was_shipped_is_kept_with_the_run_and_its_bundle_is_one_of_its_blobs() {
    let mut story = Story::default();
    let bundle = Digest::of(b"bundle");
    let shipped = Shipped { bundle: Some(bundle), directory: "sub".into(), ..Shipped::default() };
    let spec = RunSpec { shipped: Some(Box::new(shipped)), ..spec(1, 10) };
    let submission = RunSubmission { run: RUN, owner: NODE, detached: false, spec: spec.clone() };
    let command = Command::from(submission);
    assert!(matches!(command, Command::SubmitShippedRun { .. }));
    let proposal = Proposal::internal(command);
    let stored = Proposal::decode(&proposal.encode().expect("encodes")).expect("decodes");
    let (outcome, _) = story.apply(stored.command);
    assert_eq!(outcome, Outcome::RunSubmitted { run: RUN, epoch: 1 });
    let run = story.state.run(RUN).expect("the run exists");
    assert_eq!(run.spec, spec);
    assert!(run.blobs().any(|blob| blob == bundle));
    let mut replayed = State::new();
    for (key, value) in story.state.records() {
        replayed.replay(&key, Some(&value)).expect("readable");
    }
    assert_eq!(replayed.run(RUN), Some(run));
}

#[test]
fn the_last_result_finishes_the_run_with_dspys_score() {
    let mut story = Story::with_run(3, 10);
    assert_eq!(story.record(1, vec![result(2, 1.0), result(0, 0.0)]), recorded(2, 0, RunStatus::Running));
    assert_eq!(story.record(1, vec![result(1, 0.0)]), recorded(1, 0, RunStatus::Finished));
    let progress = &story.state.run(RUN).expect("exists").progress;
    assert_eq!(progress.score, Some(33.33));
    assert_eq!(progress.usage["model"]["total_tokens"], 15);
    assert_eq!(progress.cost_nanousd, 6);
    assert!(story.state.pending(NODE).is_empty());
}

#[test]
fn the_first_result_counts_and_later_ones_are_duplicates() {
    let mut story = Story::with_run(2, 10);
    let batch = vec![result(0, 1.0), result(0, 0.0)];
    assert_eq!(story.record(1, batch), recorded(1, 1, RunStatus::Running));
    assert_eq!(story.record(1, vec![result(0, 0.0)]), recorded(0, 1, RunStatus::Running));
    let run = story.state.run(RUN).expect("exists");
    assert_eq!(run.results[0].as_ref().map(|result| result.score.value), Some(1.0));
    assert_eq!((run.progress.duplicates, run.progress.done), (2, 1));
}

#[test]
fn results_of_an_older_generation_are_refused_after_a_cancel_and_resume() {
    let mut story = Story::with_run(2, 10);
    story.record(1, vec![result(0, 1.0)]);
    let (outcome, effects) = story.apply(Command::CancelRun { run: RUN, reason: "Ctrl-C".into() });
    assert_eq!((outcome, effects), (Outcome::Done, vec![Effect::StopRun { run: RUN }]));
    let (outcome, effects) = story.apply(Command::ResumeRun { run: RUN, owner: NODE, detached: true });
    assert_eq!(outcome, Outcome::RunResumed { epoch: 2, generation: 2 });
    assert_eq!(effects, story.state.pending(NODE));
    let stale = Outcome::Rejected(Rejection::StaleGeneration { current: 2 });
    assert_eq!(story.record(1, vec![result(1, 0.0)]), stale);
    assert_eq!(story.record(2, vec![result(1, 1.0)]), recorded(1, 0, RunStatus::Finished));
    assert_eq!(story.state.run(RUN).expect("exists").progress.score, Some(100.0));
}

#[test]
fn errors_up_to_max_errors_fail_the_run_even_with_the_last_example() {
    let mut story = Story::with_run(3, 2);
    assert_eq!(story.record(1, vec![failed(0), result(1, 1.0)]), recorded(2, 0, RunStatus::Running));
    assert_eq!(story.record(1, vec![failed(2)]), recorded(1, 0, RunStatus::Failed));
    let progress = &story.state.run(RUN).expect("exists").progress;
    assert_eq!(progress.reason, "Execution cancelled due to errors or interruption.");
    assert_eq!((progress.score, progress.digest), (None, None));
}

#[test]
fn an_interrupted_run_waits_for_a_resume_and_keeps_its_results() {
    let mut story = Story::with_run(2, 10);
    story.record(1, vec![result(0, 1.0)]);
    story.apply(Command::InterruptRuns { node: NodeId(2) });
    assert_eq!(story.status(), RunStatus::Running);
    story.apply(Command::InterruptRuns { node: NODE });
    assert_eq!(story.status(), RunStatus::Interrupted);
    assert!(story.state.pending(NODE).is_empty());
    story.apply(Command::ResumeRun { run: RUN, owner: NODE, detached: false });
    assert_eq!(story.record(1, vec![result(1, 0.0)]), recorded(1, 0, RunStatus::Finished));
}

#[test]
fn a_shipped_run_goes_on_under_another_owner_and_its_results_count_whoever_ordered_them() {
    let mut story = Story::with_shipped_run(3, 10);
    story.record(1, vec![result(0, 1.0)]);
    let other = NodeId(2);
    let assign = |expected_epoch| Command::AssignRun { run: RUN, owner: other, expected_epoch };
    let (outcome, effects) = story.apply(assign(1));
    assert_eq!(outcome, Outcome::RunResumed { epoch: 2, generation: 1 });
    assert_eq!(effects, [Effect::OwnRun { owner: other, run: RUN, epoch: 2 }]);
    assert_eq!((story.state.pending(other), story.state.pending(NODE)), (effects, Vec::new()));
    let (outcome, effects) = story.apply(assign(1));
    assert_eq!((outcome, effects), (Outcome::Rejected(Rejection::StaleEpoch { current: 2 }), Vec::new()));
    let stale = Command::FailRun { run: RUN, epoch: 1, reason: String::new() };
    assert_eq!(story.apply(stale).0, Outcome::Rejected(Rejection::StaleEpoch { current: 2 }));
    assert_eq!(story.record(1, vec![result(1, 1.0), result(2, 1.0)]), recorded(2, 0, RunStatus::Finished));
}

#[test]
fn a_run_that_lies_in_a_directory_of_a_lost_node_is_interrupted() {
    let mut story = Story::with_run(2, 10);
    let assign = Command::AssignRun { run: RUN, owner: NodeId(2), expected_epoch: 1 };
    assert_eq!(story.apply(assign.clone()), (Outcome::Done, vec![Effect::StopRun { run: RUN }]));
    assert_eq!(story.status(), RunStatus::Interrupted);
    assert_eq!(story.apply(assign).0, Outcome::Rejected(Rejection::RunNotRunning(RunStatus::Interrupted)));
}

#[test]
fn a_shipped_run_goes_on_when_its_node_has_started_again() {
    let mut story = Story::with_shipped_run(2, 10);
    let (_, effects) = story.apply(Command::InterruptRuns { node: NODE });
    assert_eq!(effects, [Effect::OwnRun { owner: NODE, run: RUN, epoch: 2 }]);
    assert_eq!((story.status(), story.state.pending(NODE)), (RunStatus::Running, effects));
}

#[test]
fn the_time_that_a_node_was_down_is_not_time_under_execution() {
    let mut story = Story::with_run(2, 10);
    story.record(1, vec![result(0, 1.0)]);
    story.now_ms += 12 * 3_600_000;
    story.apply(Command::InterruptRuns { node: NODE });
    let progress = &story.state.run(RUN).expect("exists").progress;
    assert!(progress.executed_ms < 1_000, "{} ms", progress.executed_ms);
}

#[test]
fn names_of_models_and_tokens_that_a_program_makes_up_do_not_grow_a_record_without_end() {
    let mut story = Story::with_run(3_000, 10);
    for index in 0..3_000 {
        let names = vec![format!("model {index}"), format!("tokens {index}")];
        let results = vec![result(index, 1.0)];
        story.apply(Command::RecordResults { run: RUN, generation: 1, names, results });
    }
    let usage = &story.state.run(RUN).expect("exists").progress.usage;
    assert_eq!(usage.len(), 257, "with the one for all others");
    let total: u64 = usage.values().flat_map(|kinds| kinds.values()).sum();
    assert_eq!(total, 15_000, "no token is lost");
}

#[test]
fn the_digest_is_that_of_the_undisturbed_run() {
    let mut undisturbed = Story::with_run(3, 10);
    undisturbed.record(1, vec![result(0, 1.0), failed(1), result(2, 0.5)]);
    let mut disturbed = Story::with_run(3, 10);
    let mut slow = result(2, 0.5);
    (slow.result.duration_us, slow.result.attempt) = (99, 3);
    disturbed.record(1, vec![slow]);
    disturbed.apply(Command::InterruptRuns { node: NODE });
    disturbed.apply(Command::ResumeRun { run: RUN, owner: NODE, detached: false });
    disturbed.record(1, vec![failed(1), result(0, 1.0)]);
    let digest = |story: &Story| story.state.run(RUN).and_then(|run| run.progress.digest);
    assert!(digest(&disturbed).is_some());
    assert_eq!(digest(&disturbed), digest(&undisturbed));
    let mut other = Story::with_run(3, 10);
    other.record(1, vec![result(0, 1.0), failed(1), result(2, 0.25)]);
    assert_ne!(digest(&other), digest(&undisturbed), "the control: another score, another digest");
}

#[test]
fn a_repeated_request_has_one_effect_and_an_old_one_none() {
    let mut story = Story::with_run(1, 10);
    let id = |made_ms: u64| RequestId { request: u128::from(made_ms) << 80 | 5, client: 9 };
    let cancel = Command::CancelRun { run: RUN, reason: String::new() };
    story.now_ms = 20_000_000;
    let first = story.apply_request(Some(id(20_000_000)), cancel.clone());
    assert_eq!(first.0, Outcome::Done);
    let again = story.apply_request(Some(id(20_000_000)), cancel.clone());
    assert_eq!(again, (Outcome::Done, Vec::new()), "same outcome, nothing to do");
    let old = story.apply_request(Some(id(1_000_000)), cancel);
    assert_eq!(old.0, Outcome::Rejected(Rejection::RequestTooOld));
}

#[test]
fn outcomes_leave_after_their_window() {
    let mut story = Story::with_run(1, 10);
    story.now_ms = 20_000_000;
    let id = RequestId { request: 20_000_000 << 80, client: 1 };
    story.apply_request(Some(id), Command::Tick);
    assert!(story.state.request_outcome(id).is_some());
    story.now_ms += crate::REQUEST_WINDOW_MS + 1000;
    story.apply(Command::Tick);
    assert!(story.state.request_outcome(id).is_none());
}

#[test]
fn log_time_never_goes_back() {
    let mut state = State::new();
    let tick = |stamp_ms| Proposal { stamp_ms, ..Proposal::internal(Command::Tick) };
    state.apply(&tick(500));
    state.apply(&tick(100));
    assert_eq!(state.log_time_ms(), 500);
}

#[test]
fn a_deleted_run_leaves_nothing_behind() {
    let mut story = Story::with_run(2, 10);
    assert_eq!(story.apply(Command::DeleteRun { run: RUN }).0, Outcome::Rejected(Rejection::RunRunning));
    story.record(1, vec![result(0, 1.0), result(1, 1.0)]);
    assert_eq!(story.apply(Command::DeleteRun { run: RUN }).0, Outcome::Done);
    assert_eq!(story.state.records().count(), 1, "only log time is left");
    let gone = Outcome::Rejected(Rejection::RunNotFound(RUN));
    assert_eq!(story.apply(Command::DeleteRun { run: RUN }).0, gone);
}

#[test]
fn runs_leave_after_30_days() {
    let mut story = Story::with_run(1, 10);
    story.record(1, vec![result(0, 1.0)]);
    story.now_ms += RUN_RETENTION_MS - 10;
    story.apply(Command::Tick);
    assert!(story.state.run(RUN).is_some());
    story.now_ms += 10;
    assert_eq!(story.apply(Command::Tick).1, [Effect::FreeBlobs { run: RUN }]);
    assert!(story.state.run(RUN).is_none());
}

#[test]
fn an_order_of_a_former_owner_is_refused() {
    let mut story = Story::with_run(1, 10);
    story.apply(Command::CancelRun { run: RUN, reason: String::new() });
    story.apply(Command::ResumeRun { run: RUN, owner: NODE, detached: false });
    let fail = |epoch| Command::FailRun { run: RUN, epoch, reason: "no score".into() };
    let stale = Outcome::Rejected(Rejection::StaleEpoch { current: 2 });
    assert_eq!(story.apply(fail(1)).0, stale);
    assert_eq!(story.apply(fail(2)).0, Outcome::Done);
    assert_eq!(story.status(), RunStatus::Failed);
}

#[test]
fn a_result_for_an_example_that_does_not_exist_is_refused_whole() {
    let mut story = Story::with_run(1, 10);
    let refused = Outcome::Rejected(Rejection::NoSuchExample { index: 1, examples: 1 });
    assert_eq!(story.record(1, vec![result(0, 1.0), result(1, 1.0)]), refused);
    assert_eq!(story.state.run(RUN).expect("exists").progress.done, 0);
}

#[test]
fn a_lease_holds_for_its_time_of_the_log_and_one_of_no_time_leaves() {
    let mut story = Story::default();
    let info = |name: &str| Box::new(NodeInfo { name: name.into(), ..NodeInfo::default() });
    let lease = |node: u64, ttl_ms| Command::LeaseNode { node: NodeId(node), info: info("w"), ttl_ms };
    story.apply(lease(7, 30_000));
    let held = story.state.lease(NodeId(7)).expect("it is there").clone();
    let now_ms = story.state.log_time_ms();
    assert!(held.holds(now_ms + 29_999) && !held.holds(now_ms + 30_000));
    story.now_ms += 20_000;
    story.apply(lease(7, 30_000));
    let renewed = story.state.lease(NodeId(7)).expect("it is there").clone();
    assert!(renewed.until_ms > held.until_ms && renewed.admitted_ms == held.admitted_ms);
    story.apply(lease(7, u64::MAX));
    let longest = story.state.lease(NodeId(7)).expect("it is there").until_ms;
    assert!(longest <= story.state.log_time_ms() + 600_000, "a lease is cut");
    story.apply(lease(7, 0));
    assert_eq!(story.state.lease(NodeId(7)), None);
    story.apply(lease(7, 0));
}

#[test]
fn what_vanished_is_forgotten_a_day_later() {
    let mut story = Story::default();
    let lease = |node: u64| Command::LeaseNode { node: NodeId(node), info: Box::default(), ttl_ms: 1_000 };
    story.apply(lease(7));
    story.now_ms += 23 * 3_600_000;
    story.apply(lease(8));
    assert!(story.state.lease(NodeId(7)).is_some(), "people see what has vanished");
    story.now_ms += 3_600_000 + 2_000;
    story.apply(lease(8));
    assert_eq!((story.state.lease(NodeId(7)), story.state.leases().count()), (None, 1));
}

#[test]
fn a_lease_ends_by_a_tick_where_nothing_else_is_written() {
    let mut story = Story::default();
    let lease = |node: u64, ttl_ms| Command::LeaseNode { node: NodeId(node), info: Box::default(), ttl_ms };
    let end_ms = |story: &Story, node: u64| story.state.lease(NodeId(node)).expect("it is shown").until_ms;
    assert_eq!(story.state.next_deadline_ms(), None);
    story.apply(lease(7, 30_000));
    story.apply(lease(8, 60_000));
    assert_eq!(story.state.next_deadline_ms(), Some(end_ms(&story, 7)), "the first that ends");
    story.now_ms += 20_000;
    story.apply(lease(7, 30_000));
    assert_eq!(story.state.next_deadline_ms(), Some(end_ms(&story, 7)), "a renewal moves it on: nothing is due");
    assert!(end_ms(&story, 7) > story.now_ms + 29_000);
    // A story applies ten milliseconds later.
    story.now_ms = end_ms(&story, 7) - 10;
    story.apply(Command::Tick);
    assert!(!story.state.lease(NodeId(7)).expect("people see what has vanished").holds(story.state.log_time_ms()));
    assert_eq!(story.state.next_deadline_ms(), Some(end_ms(&story, 8)), "one tick for an end, and no second one");
    story.apply(lease(8, 0));
    assert_eq!(story.state.next_deadline_ms(), None, "it has left");
    story.apply(lease(7, 30_000));
    assert_eq!(story.state.next_deadline_ms(), Some(end_ms(&story, 7)), "it is back");
}
