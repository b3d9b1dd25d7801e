//! Executions are numbered once, and leave a segment at a time.

use super::story::Story;
use crate::executions::Limits;
use crate::{
    COLD_RECORDS, Command, Digest, EXECUTION_RETENTION_MS, Effect, Execution, ExecutionError, ExecutionId,
    ExecutionQuery, ExecutionStatus, ExecutionValue, NodeId, Outcome, Outline, PROPOSAL_BYTES_MAX, Proposal, SessionId,
    State, execution_blobs, execution_page, find_execution, named_blobs,
};

pub(super) fn execution(id: u128, program: &str, status: ExecutionStatus) -> Execution {
    Execution {
        id: ExecutionId(id),
        program: program.to_owned(),
        program_id: None,
        program_version: Some(3),
        session: None,
        status,
        input: ExecutionValue::Inline("{}".to_owned()),
        output: None,
        trace: None,
        metrics: String::new(),
        error: None,
        duration_us: 10,
        queued_us: 1,
        node: NodeId(1),
        worker: "w".to_owned(),
        actor: Some("anna".to_owned()),
        trace_id: Some(7),
    }
}

/// Segments of four, and ten that are kept.
pub(super) fn few() -> Limits {
    Limits { kept: 10, segment: 4, remembered: 6, ..Limits::default() }
}

fn some(ids: impl IntoIterator<Item = u128>) -> Vec<Execution> {
    ids.into_iter().map(|id| execution(id, "qa", ExecutionStatus::Succeeded)).collect()
}

impl Story {
    pub(super) fn execute(&mut self, executions: Vec<Execution>) -> (Outcome, Vec<Effect>) {
        self.apply(Command::RecordExecutions { executions })
    }

    /// The numbers that are kept, oldest first.
    fn kept(&self) -> Vec<u64> {
        let query = ExecutionQuery { limit: usize::MAX, ..ExecutionQuery::default() };
        let page = execution_page(&self.disk, &query).expect("readable");
        page.items.into_iter().map(|(sequence, _)| sequence).rev().collect()
    }

    fn cold(&self) -> usize {
        let (from, to) = COLD_RECORDS;
        self.disk.keys().filter(|key| (from..to).contains(&&key[..])).count()
    }
}

fn recorded(first: u64, recorded: u32, duplicates: u32) -> Outcome {
    Outcome::ExecutionsRecorded { first, recorded, duplicates }
}

#[test]
fn executions_are_numbered_in_the_order_of_the_log_with_its_time() {
    let mut story = Story::default();
    assert_eq!(story.execute(some([5, 3])), (recorded(1, 2, 0), Vec::new()));
    assert_eq!(story.execute(some([4])), (recorded(3, 1, 0), Vec::new()));
    assert_eq!(story.kept(), [1, 2, 3]);
    let (sequence, found) = find_execution(&story.disk, ExecutionId(4)).expect("readable").expect("recorded");
    assert_eq!((sequence, found.created_ms), (3, 20));
    assert_eq!(found.execution, some([4])[0]);
    assert_eq!(find_execution(&story.disk, ExecutionId(9)).expect("readable"), None);
    assert_eq!(story.state.execution_counts(), [3, 0, 0, 0, 0]);
}

#[test]
fn an_execution_that_is_reported_again_is_recorded_once() {
    let mut story = Story::default();
    story.limit_executions(few());
    assert_eq!(story.execute(some([1, 2, 1])).0, recorded(1, 2, 1));
    assert_eq!(story.execute(some([2, 1])).0, recorded(3, 0, 2));
    assert_eq!(story.execute(some([3, 2, 4])).0, recorded(3, 2, 1));
    // The ids of a command go when six others have come.
    story.execute(some([5, 6, 7, 8]));
    assert_eq!(story.execute(some([1])).0, recorded(9, 1, 0));
    assert_eq!(story.execute(some([3])).0, recorded(10, 0, 1));
}

#[test]
fn the_oldest_segment_goes_when_the_others_hold_as_many_as_are_kept() {
    let mut story = Story::default();
    story.limit_executions(few());
    for id in 1..=13 {
        story.execute(some([id]));
        assert_eq!(story.kept().len() as u128, id);
    }
    // Each segment has a key of its own.
    let whole = story.cold() - 4;
    assert_eq!(story.execute(some([14])), (recorded(14, 1, 0), Vec::new()));
    assert_eq!(story.kept(), (5..=14).collect::<Vec<_>>());
    assert_eq!(story.cold(), (whole / 13) * 10 + 3, "nothing of the others is left in any index");
    assert_eq!(find_execution(&story.disk, ExecutionId(4)).expect("readable"), None);
    assert_eq!(story.state.execution_counts()[0], 10);
    story.execute(some([15, 16, 17]));
    assert_eq!(story.kept(), (5..=17).collect::<Vec<_>>());
}

#[test]
fn a_segment_goes_when_the_time_of_its_last_one_is_over() {
    let mut story = Story::default();
    story.execute(some([1, 2]));
    let day = 24 * 3600 * 1000;
    story.now_ms += day;
    // A day later another segment begins, however short the first one is.
    story.execute(some([3]));
    story.now_ms = 20 + EXECUTION_RETENTION_MS;
    story.apply(Command::Tick);
    assert_eq!(story.kept(), [1, 2, 3]);
    story.now_ms += day;
    story.apply(Command::Tick);
    assert_eq!(story.kept(), [3]);
    story.now_ms += day;
    story.apply(Command::Tick);
    assert_eq!((story.kept(), story.cold()), (Vec::new(), 0));
    assert_eq!(story.execute(some([4])).0, recorded(4, 1, 0), "numbers are never used again");
}

#[test]
fn large_executions_make_short_segments_and_as_many_bytes_are_kept() {
    let mut story = Story::default();
    let limits = Limits { kept_bytes: 20_000, segment_bytes: 5_000, ..Limits::default() };
    story.limit_executions(limits);
    let large = |id| Execution { input: ExecutionValue::Inline("x".repeat(4000)), ..some([id])[0].clone() };
    for id in 1..=20 {
        story.execute(vec![large(id)]);
        let bytes: usize = story.disk.values().map(Vec::len).sum();
        assert!(bytes < 32_000, "{bytes} bytes after {id}");
    }
    assert!(story.kept().len() >= 4 && story.kept().len() <= 8, "{:?}", story.kept());
}

#[test]
fn blobs_are_named_until_their_executions_go() {
    let digest = |name: &str| Digest::of(name.as_bytes());
    let blob = |name: &str| ExecutionValue::Blob { digest: digest(name), bytes: 5000 };
    let mut story = Story::default();
    story.limit_executions(few());
    let with_blobs = Execution {
        input: blob("input"),
        output: Some(blob("output")),
        trace: Some(blob("trace")),
        ..some([1])[0].clone()
    };
    story.execute(vec![with_blobs, some([2])[0].clone()]);
    story.execute(vec![Execution { output: Some(blob("later")), ..some([3])[0].clone() }]);
    let named = |story: &Story, from, about| {
        execution_blobs(&story.disk, from, about).expect("readable").into_iter().collect::<Vec<_>>()
    };
    let mut of_first: Vec<_> = ["input", "output", "trace"].map(|name| (1, digest(name))).to_vec();
    of_first.sort();
    assert_eq!(named(&story, 1, 2), of_first, "all of an execution, also where fewer are asked for");
    assert_eq!(named(&story, 2, 2), [(3, digest("later"))]);
    let mut outline = Outline::default();
    for (key, value) in &story.disk {
        outline.add(key, value).expect("readable");
    }
    assert_eq!(outline.blobs.len(), 4);

    for id in 4..=13 {
        assert_eq!(story.execute(some([id])).1, Vec::new());
    }
    assert_eq!(story.execute(some([14])).1, [Effect::FreeExecutions { before: 5 }]);
    assert_eq!(named(&story, 0, 100), Vec::new());
}

#[test]
fn a_blob_is_found_by_its_digest_also_in_segments_of_older_versions() {
    let digest = |name: u128| Digest::of(&name.to_be_bytes());
    let blob = |name: u128| ExecutionValue::Blob { digest: digest(name), bytes: 5000 };
    let mut story = Story::default();
    story.limit_executions(few());
    // Number n refers to blob n twice, and all refer to 100.
    for id in 1..=8 {
        let one = some([id])[0].clone();
        story.execute(vec![Execution { input: blob(id), output: Some(blob(id)), trace: Some(blob(100)), ..one }]);
    }
    let named = |disk: &std::collections::BTreeMap<Vec<u8>, Vec<u8>>, names: &[u128], from| {
        let blobs: Vec<_> = names.iter().map(|name| digest(*name)).collect();
        let found = named_blobs(disk, &blobs, from).expect("readable");
        names.iter().copied().filter(|name| found.contains(&digest(*name))).collect::<Vec<_>>()
    };
    let check = |disk: &_| {
        assert_eq!(named(disk, &[3, 7, 9, 100], 0), [3, 7, 100]);
        assert_eq!(named(disk, &[3, 4, 7, 9, 100], 4), [4, 7, 100], "only later ones are looked at");
        assert_eq!(named(disk, &[100, 8], 9), [0; 0]);
        let many: Vec<u128> = (1..=60).collect();
        assert_eq!(named(disk, &many, 0), (1..=8).collect::<Vec<_>>(), "more than there are names");
    };
    check(&story.disk);
    // Few of many are found without their names being read through, which stand under 0x56.
    let mut by_digest = story.disk.clone();
    by_digest.retain(|key, _| key[0] != 0x56);
    assert_eq!(named(&by_digest, &[3, 7, 9], 0), [3, 7]);
    let mut older = story.disk.clone();
    older.retain(|key, _| key[0] != 0x57);
    check(&older);
    // An older version began the second segment, and this one went on with it.
    let mut mixed = story.disk.clone();
    mixed.retain(|key, _| key[0] != 0x57 || key[8] == 1 || (key.len() > 9 && key.last() == Some(&8)));
    check(&mixed);
    for id in 9..=17 {
        story.execute(some([id]));
    }
    assert_eq!(named(&story.disk, &[3, 100, 7], 0), [100, 7], "the first segment has gone");
    assert!(story.disk.keys().all(|key| key[0] != 0x57 || key[8] >= 5));
}

#[test]
fn all_executions_can_be_forgotten_at_once() {
    let mut story = Story::default();
    story.limit_executions(few());
    assert_eq!(story.apply(Command::ClearExecutions), (Outcome::Done, Vec::new()), "there is nothing");
    story.execute(some(1..=7));
    let forgetting = Proposal { actor: Some("anna".to_owned()), ..Proposal::internal(Command::ClearExecutions) };
    assert_eq!(story.apply_proposal(forgetting), (Outcome::Done, vec![Effect::FreeExecutions { before: 8 }]));
    assert_eq!((story.kept(), story.cold(), story.state.execution_counts()), (Vec::new(), 0, [0; 5]));
    assert_eq!(story.state.audit().next().map(|(_, entry)| entry.action.as_str()), Some("execution clear"));
    assert_eq!(story.execute(some([7])).0, recorded(8, 0, 1), "what was recorded is not recorded again");
    assert_eq!(story.execute(some([8])).0, recorded(8, 1, 0));
    assert_eq!(story.kept(), [8]);
}

#[test]
fn states_that_have_recorded_other_executions_differ_in_their_digests() {
    let digest_of = |program: &str| {
        let mut story = Story::default();
        story.execute(vec![execution(1, program, ExecutionStatus::Failed)]);
        story.state.digest()
    };
    assert_eq!(digest_of("qa"), digest_of("qa"));
    assert_ne!(digest_of("qa"), digest_of("qb"), "nothing else of the state shows it");
}

#[test]
fn what_is_not_in_memory_is_passed_over_when_a_state_is_read() {
    let mut story = Story::default();
    story.limit_executions(Limits::default());
    story.execute(some(1..=20));
    let mut loaded = State::new();
    for (key, value) in &story.disk {
        loaded.replay(key, Some(value)).expect("replays");
    }
    assert_eq!(loaded, story.state);
    assert!(story.cold() > 20 * 4 && story.state.records().count() == 4, "time, head, a segment, recent ids");
}

#[test]
fn a_command_holds_five_of_the_largest_executions() {
    let longest = Execution {
        session: Some(SessionId::new("s".repeat(256)).expect("an id")),
        program: "p".repeat(512),
        program_id: Some(u128::MAX),
        input: ExecutionValue::Inline("i".repeat(crate::EXECUTION_INLINE_BYTES_MAX)),
        output: Some(ExecutionValue::Inline("o".repeat(crate::EXECUTION_INLINE_BYTES_MAX))),
        metrics: "m".repeat(1024),
        error: Some(ExecutionError { class: "c".repeat(200), message: "m".repeat(1024) }),
        worker: "w".repeat(64),
        actor: Some("a".repeat(256)),
        ..execution(1, "", ExecutionStatus::Failed)
    };
    let with = |count| Proposal::internal(Command::RecordExecutions { executions: vec![longest.clone(); count] });
    assert!(with(5).encode().is_ok());
    let error = with(7).encode().expect_err("too large");
    assert!(error.to_string().contains(&PROPOSAL_BYTES_MAX.to_string()), "{error}");
}
