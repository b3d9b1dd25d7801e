//! A new cluster begins with the state of another one.

use super::story::Story;
use super::{NODE, RUN, failed, recorded, result, spec};
use crate::{
    Command, Digest, Name, NewToken, NodeId, NodeInfo, Outcome, Outline, ProgramKey, Rejection, RequestId, Role, RunId,
    RunStatus, RunSubmission, SessionId, State, TokenId,
};

const OLD: &str = "old";
const NEW: &str = "new";
const CANCELLED: RunId = RunId(8);
const FINISHED: RunId = RunId(9);
const PROGRAM: &str = "qa";

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

/// A cluster with a bit of everything: `RUN` runs and has a result and a failure, one run is cancelled, one finished.
fn story() -> Story {
    let mut story = Story::with_run(3, 10);
    story.apply(Command::NameCluster { id: OLD.to_owned() });
    story.apply(Command::AdmitNode { node: NODE, info: Box::new(NodeInfo::default()) });
    story.apply(Command::AdmitNode { node: NodeId(2), info: Box::new(NodeInfo::default()) });
    assert_eq!(story.apply(Command::DrainNode { node: NodeId(2), drain: true }).0, Outcome::Done);
    story.record(1, vec![result(0, 1.0), failed(1)]);
    for run in [CANCELLED, FINISHED] {
        let submission = RunSubmission { run, owner: NODE, detached: true, spec: spec(1, 10) };
        story.apply(Command::SubmitRun(Box::new(submission)));
    }
    story.apply(Command::CancelRun { run: CANCELLED, reason: "enough".to_owned() });
    let results = vec![result(0, 1.0)];
    story.apply(Command::RecordResults { run: FINISHED, generation: 1, names: vec!["m".into(), "k".into()], results });
    let session = SessionId::new("s").expect("an id");
    let data = vec![("n".to_owned(), "1".to_owned())];
    story.apply(Command::CreateSession { session: session.clone(), ttl_ms: None, data });
    story.apply(Command::HouseSession { session, node: NODE, expected_epoch: 0 });
    let token = NewToken {
        token: TokenId(5),
        name: "ci".to_owned(),
        role: Role::Runner,
        secret: Digest::of(b"secret"),
        ttl_ms: None,
    };
    story.apply(Command::CreateToken(Box::new(token)));
    let large = super::programs::large(b"a large definition");
    story.apply(super::programs::put(PROGRAM, None, large));
    story.apply(super::programs::optimized(PROGRAM, 1));
    story.apply(Command::SetVariable { name: name("v"), expected_version: None, value: "1".to_owned() });
    story
}

fn restored(story: &Story) -> State {
    story.state.clone().restored(NEW, "anna")
}

#[test]
fn the_nodes_of_the_old_cluster_are_forgotten_and_the_new_one_has_its_own_id() {
    let story = story();
    let state = restored(&story);
    assert_eq!(state.cluster().expect("named").id, NEW);
    assert_eq!((story.state.nodes().count(), state.nodes().count()), (2, 0));
    assert_eq!((story.state.draining().count(), state.draining().count()), (1, 0));
    assert_eq!(state.log_time_ms(), story.state.log_time_ms());
    let (_, newest) = state.audit().next().expect("an entry");
    assert_eq!(
        (newest.actor.as_str(), newest.action.as_str(), newest.subject.as_str()),
        ("anna", "snapshot restore", "from old")
    );
}

#[test]
fn what_was_under_way_is_interrupted_and_its_late_results_do_not_count() {
    let mut story = story();
    story.state = restored(&story);
    assert!(story.state.pending(NODE).is_empty(), "nobody works on anything");
    let progress = |id: RunId, state: &State| state.run(id).expect("kept").progress.clone();
    let running = progress(RUN, &story.state);
    assert_eq!((running.status, running.generation, running.done), (RunStatus::Interrupted, 2, 2));
    assert!(running.reason.contains("restored"), "{}", running.reason);
    let cancelled = progress(CANCELLED, &story.state);
    assert_eq!((cancelled.status, cancelled.generation), (RunStatus::Cancelled, 3));
    let finished = progress(FINISHED, &story.state);
    assert_eq!((finished.status, finished.generation), (RunStatus::Finished, 1), "nothing of it can change");

    // Resumed, it takes what the new cluster computes and nothing of the old one.
    let mut state = story.state;
    let mut apply = |command| state.apply(&crate::Proposal::internal(command)).outcome;
    let resumed = apply(Command::ResumeRun { run: RUN, owner: NodeId(7), detached: true });
    assert_eq!(resumed, Outcome::RunResumed { epoch: 2, generation: 2 });
    let mut record = |generation| {
        let names = vec!["model".into(), "total_tokens".into()];
        apply(Command::RecordResults { run: RUN, generation, names, results: vec![result(2, 1.0)] })
    };
    assert_eq!(record(1), Outcome::Rejected(Rejection::StaleGeneration { current: 2 }));
    assert_eq!(record(2), recorded(1, 0, RunStatus::Finished));
}

#[test]
fn sessions_programs_tokens_results_and_the_window_of_requests_stay() {
    let mut story = story();
    story.now_ms = 20_000_000;
    let request = RequestId { request: 20_000_000 << 80, client: 1 };
    story.apply_request(Some(request), Command::Tick);
    let state = restored(&story);
    let session = SessionId::new("s").expect("an id");
    let (kept, before) = (state.session(&session).expect("kept"), story.state.session(&session).expect("there"));
    assert_eq!((kept.info, kept.data()), (before.info, before.data()));
    assert!(before.home.is_some() && kept.home.is_none(), "its home is a node of the old cluster");
    assert_eq!(state.token(TokenId(5)), story.state.token(TokenId(5)));
    let program = ProgramKey { session: None, name: name(PROGRAM) };
    assert!(state.program(&program).is_some_and(|(_, program)| program.optimizations().len() == 1));
    assert_eq!(state.program(&program), story.state.program(&program));
    assert_eq!(state.variable(&name("v")), story.state.variable(&name("v")));
    assert_eq!(state.request_outcome(request), Some(&Outcome::Done));
    for run in [RUN, CANCELLED, FINISHED] {
        let results = |state: &State| state.run(run).expect("kept").results.clone();
        assert_eq!(results(&state), results(&story.state));
    }
}

#[test]
fn a_restored_state_is_the_same_when_it_comes_back_from_its_records() {
    let state = restored(&story());
    let mut stored = State::new();
    for (key, value) in state.records() {
        stored.replay(&key, Some(&value)).expect("replays");
    }
    assert_eq!(stored, state);
    assert_eq!(state.digest(), restored(&story()).digest(), "nothing of it is chance");
}

#[test]
fn an_outline_names_every_blob_that_the_state_refers_to() {
    let state = story().state;
    let mut outline = Outline::default();
    for (key, value) in state.records() {
        outline.add(&key, &value).expect("readable");
    }
    let expected =
        Outline { log_time_ms: state.log_time_ms(), cluster: state.cluster().cloned(), blobs: state.blobs().collect() };
    assert_eq!(outline, expected);
    assert!(expected.blobs.contains(&Digest::of(b"detail")) && expected.blobs.len() > 3, "{expected:?}");
    assert!(expected.blobs.contains(&Digest::of(b"a large definition")), "{expected:?}");
}
