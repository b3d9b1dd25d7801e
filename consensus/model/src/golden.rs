//! The stored bytes are pinned: whoever changes them changes every directory there is, and every node of another version.

mod following;
mod orders;
mod programs;

use crate::executions::{EXECUTION_RETENTION_MS, ExecutionSegment, ExecutionsHead, is_cold};
use crate::record::{Change, Key, Record};
use crate::transition::tests::spec;
use crate::{
    AuditEntry, ClusterInfo, Command, Digest, ExecutedWrite, Execution, ExecutionError, ExecutionId, ExecutionStatus,
    ExecutionValue, NewToken, NewTtl, NodeId, NodeInfo, NodeLease, NodeRecord, Outcome, Proposal, Rejection, RequestId,
    Role, RunId, RunSpec, RunStatus, RunSubmission, SessionChange, SessionData, SessionHome, SessionId, SessionInfo,
    SessionVersion, Shipped, State, Token, TokenId,
};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn session() -> SessionId {
    SessionId::new("s").expect("an id")
}

fn text(text: &str) -> String {
    text.to_owned()
}

/// One of each command that has a variant number of its own, in their order.
fn commands() -> Vec<Command> {
    let run = RunId(7);
    vec![
        Command::Tick,
        Command::FailRun { run, epoch: 2, reason: text("r") },
        Command::CancelRun { run, reason: text("r") },
        Command::InterruptRuns { node: NodeId(3) },
        Command::ResumeRun { run, owner: NodeId(3), detached: true },
        Command::DeleteRun { run },
        Command::NameCluster { id: text("c") },
        Command::AdmitNode { node: NodeId(3), info: Box::new(node_info()) },
        Command::ForgetNode { node: NodeId(3) },
        Command::CreateToken(Box::new(NewToken {
            token: TokenId(5),
            name: text("ci"),
            role: Role::Runner,
            secret: Digest::of(b"secret"),
            ttl_ms: Some(9),
        })),
        Command::RevokeToken { token: TokenId(5) },
        Command::CreateSession { session: session(), ttl_ms: Some(9), data: vec![(text("n"), text("1"))] },
        Command::UpdateSession {
            session: session(),
            expected_version: Some(4),
            change: SessionChange { replace: true, removed: vec![text("m")], set: vec![(text("n"), text("1"))] },
            ttl_ms: Some(NewTtl::For(9)),
        },
        Command::DeleteSession { session: session(), expected_version: None },
        Command::Audit { action: text("a"), subject: text("b") },
        Command::HouseSession { session: session(), node: NodeId(3), expected_epoch: 4 },
        Command::WriteExecuted(Box::new(ExecutedWrite {
            session: session(),
            epoch: 5,
            version: 4,
            change: SessionChange { replace: false, removed: vec![text("m")], set: vec![(text("n"), text("1"))] },
            result: Some(vec![1, 2]),
        })),
        Command::RecordExecutions { executions: vec![execution()] },
        Command::ClearExecutions,
        Command::from(RunSubmission { run, owner: NodeId(3), detached: true, spec: shipped_spec() }),
        Command::AssignRun { run, owner: NodeId(3), expected_epoch: 2 },
        Command::RetryRun { run, owner: NodeId(3), detached: true },
        Command::PauseRun { run },
        Command::LeaseNode { node: NodeId(3), info: Box::new(node_info()), ttl_ms: 9 },
        Command::WeighRun { run, weight: 3 },
        Command::DrainNode { node: NodeId(3), drain: true },
    ]
}

fn execution() -> Execution {
    Execution {
        id: ExecutionId(9),
        program: text("qa"),
        program_id: Some(1),
        program_version: Some(2),
        session: Some(session()),
        status: ExecutionStatus::TimedOut,
        input: ExecutionValue::Inline(text("{}")),
        output: Some(ExecutionValue::Blob { digest: Digest::of(b"output"), bytes: 5000 }),
        trace: None,
        metrics: text("{}"),
        error: Some(ExecutionError { class: text("c"), message: text("m") }),
        duration_us: 300,
        queued_us: 4,
        node: NodeId(3),
        worker: text("w"),
        actor: Some(text("an")),
        trace_id: Some(5),
    }
}

fn shipped_spec() -> RunSpec {
    let shipped = Shipped {
        bundle: Some(Digest::of(b"bundle")),
        directory: text("d"),
        path: vec![text("src")],
        environment: text("e"),
        fingerprint: vec![(text("python"), text("3.11"))],
    };
    RunSpec { shipped: Some(Box::new(shipped)), ..spec(2, 10) }
}

fn node_info() -> NodeInfo {
    NodeInfo {
        name: text("a"),
        peer_address: text("a:1"),
        api_address: text("a:2"),
        version: text("1"),
        signing_key: None,
    }
}

fn records() -> Vec<Record> {
    let info = SessionInfo { version: 2, created_ms: 3, updated_ms: 4, ttl_ms: Some(5) };
    let data = SessionData::new([(text("n"), text("1"))]);
    let token = Token {
        name: text("ci"),
        role: Role::Admin,
        secret: Digest::of(b"secret"),
        created_ms: 1,
        expires_ms: Some(2),
        revoked_ms: None,
    };
    let entry = AuditEntry { at_ms: 1, actor: text("a"), action: text("b"), subject: text("c"), refusal: None };
    vec![
        Record::LogTime(300),
        Record::Cluster(ClusterInfo { id: text("c"), formed_ms: 1 }),
        Record::Node(NodeId(3), NodeRecord { info: node_info(), admitted_ms: 1, started_ms: 2 }),
        Record::Token(TokenId(5), token),
        Record::Audit(6, entry),
        Record::NodeLease(NodeId(3), NodeLease { info: node_info(), admitted_ms: 4, until_ms: 9 }),
        Record::Draining(NodeId(3), 300),
        Record::Request(RequestId { request: 1, client: 2 }, Outcome::Rejected(Rejection::RequestTooOld)),
        Record::Session(session(), info),
        Record::SessionVersion(session(), 2, SessionVersion { written_ms: 4, data }),
        Record::SessionHome(session(), SessionHome { node: NodeId(3), epoch: 4 }),
        Record::Executed(RequestId { request: 1, client: 2 }, vec![1, 2]),
        Record::ExecutionsHead(ExecutionsHead { next: 300, last_ms: 4, chain: Digest::of(b"chain") }),
        Record::ExecutionSegment(257, ExecutionSegment { began_ms: 3, bytes: 300, blobs: 1, counts: [1, 2, 3, 4, 5] }),
        Record::RecentExecutions(258, vec![ExecutionId(9), ExecutionId(10)]),
        Record::RunSpec(RunId(7), Box::new(spec(2, 10))),
        Record::RunSpec(RunId(7), Box::new(shipped_spec())),
        Record::RunAttempts(RunId(7), 258, 3),
        Record::RunWeight(RunId(7), 4),
    ]
}

#[test]
fn proposals_are_pinned() {
    let shown: Vec<String> = commands()
        .into_iter()
        .map(|command| {
            let proposal = Proposal { stamp_ms: 258, request: None, actor: Some(text("an")), command };
            let bytes = proposal.encode().expect("encodes");
            assert_eq!(Proposal::decode(&bytes).expect("decodes"), proposal);
            hex(&bytes)
        })
        .collect();
    assert_eq!(shown.join("\n"), include_str!("golden/proposals.txt").trim_end());
}

#[test]
fn an_entry_of_the_first_version_is_still_read() {
    let bytes = [1, 251, 2, 1, 0, 0];
    let expected = Proposal { stamp_ms: 258, ..Proposal::internal(Command::Tick) };
    assert_eq!(Proposal::decode(&bytes).expect("decodes"), expected);
}

#[test]
fn an_entry_of_a_newer_version_is_refused() {
    let error = Proposal::decode(&[3, 0, 0, 0, 0]).expect_err("unknown");
    assert!(error.to_string().contains("start a newer dspex"), "{error}");
}

#[test]
fn records_are_pinned() {
    let shown: Vec<String> = records()
        .into_iter()
        .map(|record| {
            let (key, value) = (record.key().encode(), record.encode());
            let decoded = Key::decode(&key).expect("a key");
            assert_eq!(Record::decode(decoded, &value).expect("decodes"), record);
            format!("{} {}", hex(&key), hex(&value))
        })
        .collect();
    assert_eq!(shown.join("\n"), include_str!("golden/records.txt").trim_end());
}

#[test]
fn outcomes_are_pinned() {
    let outcomes = [
        (Outcome::Done, "0100"),
        (Outcome::Rejected(Rejection::SessionNotFound), "010409"),
        (Outcome::Rejected(Rejection::SessionExists { version: 2 }), "01040a02"),
        (Outcome::Rejected(Rejection::VersionConflict { current: 2 }), "01040b02"),
        (Outcome::Rejected(Rejection::TokenExists), "01040d"),
        (Outcome::Rejected(Rejection::OtherCluster), "010410"),
        (Outcome::SessionWritten { version: 2, expires_ms: Some(3) }, "0105020103"),
        (Outcome::SessionHoused(SessionHome { node: NodeId(3), epoch: 4 }), "01060304"),
        (Outcome::Rejected(Rejection::SessionMoved(SessionHome { node: NodeId(3), epoch: 4 })), "0104130304"),
        (Outcome::Rejected(Rejection::NothingFailed), "010421"),
        (Outcome::Rejected(Rejection::OnlyNode(NodeId(3))), "01042203"),
        (Outcome::ResultsRecorded { recorded: 1, duplicates: 0, status: RunStatus::Paused }, "0103010005"),
        (Outcome::ExecutionsRecorded { first: 7, recorded: 2, duplicates: 1 }, "0107070201"),
    ];
    for (outcome, expected) in outcomes {
        let bytes = outcome.encode().expect("encodes");
        assert_eq!(hex(&bytes), expected, "{outcome:?}");
        assert_eq!(Outcome::decode(&bytes).expect("decodes"), outcome);
    }
}

/// What a disk gets of an execution, and what takes it away again.
#[test]
fn records_of_executions_are_pinned() {
    let mut state = State::new();
    let proposal =
        Proposal { stamp_ms: 258, ..Proposal::internal(Command::RecordExecutions { executions: vec![execution()] }) };
    let mut changes = state.apply(&proposal).changes;
    let proposal = Proposal { stamp_ms: 259 + EXECUTION_RETENTION_MS, ..Proposal::internal(Command::Tick) };
    changes.extend(state.apply(&proposal).changes);
    let shown = changes.iter().filter_map(|change| match change {
        Change::Put { key, value } if is_cold(key) => {
            Some(format!("{} {}", hex(key), hex(value)).trim_end().to_owned())
        }
        Change::RemoveRange { from, to } => Some(format!("{}..{}", hex(from), hex(to))),
        Change::Put { .. } | Change::Remove { .. } => None,
    });
    assert_eq!(shown.collect::<Vec<_>>().join("\n"), include_str!("golden/executions.txt").trim_end());
}
