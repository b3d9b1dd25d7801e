//! Whatever is applied in whatever order: the changes on disk give the state, and equal logs give equal states.

use proptest::prelude::*;

use super::execution_pages::executed;
use super::story::Story;
use crate::{
    Command, Digest, ExecutedWrite, Name, NewOptimization, NewProgramVersion, NewToken, NewTtl, NodeId, NodeInfo,
    OptimizationId, ProgramDefinition, ProgramId, ProgramKey, ProgramStatus, Proposal, RequestId, Role, RunId, RunSpec,
    RunSubmission, SessionChange, SessionId, Shipped, State, TokenId,
};

fn session() -> impl Strategy<Value = SessionId> {
    prop::sample::select(vec!["a", "aa", "b", "ü"]).prop_map(|text| SessionId::new(text).expect("an id"))
}

fn change() -> impl Strategy<Value = SessionChange> {
    let name = || prop::sample::select(vec!["x", "y", "z"]).prop_map(str::to_owned);
    let value = prop_oneof![9 => 0usize..50, 1 => Just(20_000usize)].prop_map(|length| "v".repeat(length));
    (any::<bool>(), prop::collection::vec(name(), 0..2), prop::collection::vec((name(), value), 0..3))
        .prop_map(|(replace, removed, set)| SessionChange { replace, removed, set })
}

fn name() -> impl Strategy<Value = Name> {
    prop::sample::select(vec!["p", "pp", "q"]).prop_map(|text| Name::new(text).expect("a name"))
}

/// Of programs and variables. Ids are few, so that they meet.
fn program_command() -> impl Strategy<Value = Command> {
    let version = || prop::option::of(0u64..6);
    let key = || (prop::option::of(session()), name()).prop_map(|(session, name)| ProgramKey { session, name });
    let blob = (0u8..3).prop_map(|number| ProgramDefinition::Blob { digest: Digest::of(&[number]), bytes: 1 });
    let inline = (0usize..3_000).prop_map(|length| ProgramDefinition::Inline("d".repeat(length)));
    let definition = prop::option::of(prop_oneof![blob, inline].prop_map(|definition| (definition, None)));
    let put = (1u128..12, key(), version(), definition, change()).prop_map(
        |(program, key, expected_version, definition, variables)| {
            let program = ProgramId(program);
            let note = String::new();
            Command::PutProgram(Box::new(NewProgramVersion {
                program,
                key,
                expected_version,
                definition,
                variables,
                note,
            }))
        },
    );
    let optimization = (1u128..9, key(), 0u64..4).prop_map(|(id, key, program_version)| {
        Command::RecordOptimization(Box::new(NewOptimization {
            id: OptimizationId(id),
            key,
            optimizer_type: "o".to_owned(),
            parameters: "{}".to_owned(),
            performance_metrics: "{}".to_owned(),
            training_data: None,
            program_version,
        }))
    });
    let status = prop::sample::select(&ProgramStatus::ALL[..]);
    prop_oneof![
        8 => put,
        3 => optimization,
        1 => (key(), version(), status).prop_map(|(key, expected_version, status)| Command::SetProgramStatus {
            key, expected_version, status,
        }),
        1 => (key(), version()).prop_map(|(key, expected_version)| Command::DeleteProgram { key, expected_version }),
        4 => (name(), version(), 0usize..20_000).prop_map(|(name, expected_version, length)| Command::SetVariable {
            name, expected_version, value: "v".repeat(length),
        }),
        1 => (name(), version()).prop_map(|(name, expected_version)| Command::DeleteVariable {
            name, expected_version,
        }),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    let ttl = || prop::option::of(1u64..3000);
    let version = || prop::option::of(1u64..6);
    let run = || (1u128..4).prop_map(RunId);
    prop_oneof![
        2 => Just(Command::Tick),
        6 => (session(), ttl(), change()).prop_map(|(session, ttl_ms, change)| Command::CreateSession {
            session, ttl_ms, data: change.set,
        }),
        12 => (session(), version(), change(), prop::option::of(ttl())).prop_map(
            |(session, expected_version, change, ttl)| Command::UpdateSession {
                session,
                expected_version,
                change,
                ttl_ms: ttl.map(|ttl| ttl.map_or(NewTtl::Forever, NewTtl::For)),
            }
        ),
        2 => (session(), version()).prop_map(|(session, expected_version)| Command::DeleteSession {
            session, expected_version,
        }),
        4 => (session(), 1u64..4, 0u64..3).prop_map(|(session, node, expected_epoch)| Command::HouseSession {
            session, node: NodeId(node), expected_epoch,
        }),
        4 => (session(), 0u64..3, 1u64..6, change(), prop::option::of(0usize..1500)).prop_map(
            |(session, epoch, version, change, result)| Command::WriteExecuted(Box::new(ExecutedWrite {
                session, epoch, version, change, result: result.map(|length| vec![b'r'; length]),
            }))
        ),
        1 => (1u128..4, 0u8..3, ttl()).prop_map(|(token, secret, ttl_ms)| Command::CreateToken(Box::new(NewToken {
            token: TokenId(token), name: "t".to_owned(), role: Role::Reader, secret: Digest::of(&[secret]), ttl_ms,
        }))),
        1 => (1u128..4).prop_map(|token| Command::RevokeToken { token: TokenId(token) }),
        1 => (1u64..4).prop_map(|node| Command::AdmitNode { node: NodeId(node), info: Box::new(NodeInfo::default()) }),
        1 => (1u64..4).prop_map(|node| Command::ForgetNode { node: NodeId(node) }),
        1 => (1u64..20, ttl()).prop_map(|(node, ttl)| Command::LeaseNode {
            node: NodeId(node), info: Box::default(), ttl_ms: ttl.unwrap_or(0),
        }),
        2 => (1u64..20, any::<bool>()).prop_map(|(node, drain)| Command::DrainNode { node: NodeId(node), drain }),
        1 => (run(), 1u64..4, 1u64..4).prop_map(|(run, owner, expected_epoch)| Command::AssignRun {
            run, owner: NodeId(owner), expected_epoch,
        }),
        1 => run().prop_map(|run| Command::SubmitRun(Box::new(RunSubmission {
            run, owner: NodeId(1), detached: true, spec: super::spec(2, 10),
        }))),
        1 => run().prop_map(|run| {
            let shipped = Some(Box::new(Shipped { bundle: Some(Digest::of(b"bundle")), ..Shipped::default() }));
            let spec = RunSpec { shipped, ..super::spec(2, 10) };
            Command::from(RunSubmission { run, owner: NodeId(1), detached: true, spec })
        }),
        1 => run().prop_map(|run| Command::CancelRun { run, reason: String::new() }),
        1 => run().prop_map(|run| Command::ResumeRun { run, owner: NodeId(1), detached: true }),
        1 => run().prop_map(|run| Command::RetryRun { run, owner: NodeId(1), detached: true }),
        1 => run().prop_map(|run| Command::PauseRun { run }),
        1 => (run(), 0u32..200).prop_map(|(run, weight)| Command::WeighRun { run, weight }),
        2 => (run(), 1u64..3, 0u32..2, any::<bool>()).prop_map(|(run, generation, index, has_failed)| {
            let result = if has_failed { super::failed(index) } else { super::result(index, 1.0) };
            let names = vec!["model".to_owned(), "total_tokens".to_owned()];
            Command::RecordResults { run, generation, names, results: vec![result] }
        }),
        1 => run().prop_map(|run| Command::DeleteRun { run }),
        1 => Just(Command::ClearExecutions),
        3 => prop::collection::vec(executed(), 0..4).prop_map(|executions| Command::RecordExecutions { executions }),
        18 => program_command(),
    ]
}

fn proposals() -> impl Strategy<Value = Vec<Proposal>> {
    let request = |now_ms: u64| {
        prop::option::of(
            (1u128..6).prop_map(move |number| RequestId { request: (u128::from(now_ms) << 80) | number, client: 1 }),
        )
    };
    let one = (command(), 0u64..20_000).prop_flat_map(move |(command, stamp_ms)| {
        (request(stamp_ms), any::<bool>()).prop_map(move |(request, named)| Proposal {
            stamp_ms,
            request,
            actor: named.then(|| "anna".to_owned()),
            command: command.clone(),
        })
    });
    prop::collection::vec(one, 1..120)
}

/// The state as it comes back from the disk: its records in the order of their keys.
fn stored(state: &State) -> State {
    let mut records: Vec<_> = state.records().collect();
    let ordered = records.is_sorted_by(|(left, _), (right, _)| left < right);
    assert!(ordered, "records come in the order of their keys, none twice");
    let mut stored = State::new();
    for (key, value) in records.drain(..) {
        stored.replay(&key, Some(&value)).expect("replays");
    }
    stored
}

proptest! {
    #[test]
    fn the_changes_give_the_state_and_equal_logs_give_equal_states(proposals in proposals()) {
        let (mut story, mut other) = (Story::default(), State::new());
        for proposal in proposals {
            // `Story` compares the state with its replayed changes each time.
            story.apply_proposal_at(&proposal);
            other.apply(&proposal);
        }
        prop_assert_eq!(story.state.digest(), other.digest());
        prop_assert_eq!(&stored(&story.state), &story.state);
    }

    #[test]
    fn programs_have_names_versions_without_gaps_and_living_sessions(proposals in proposals()) {
        let mut state = State::new();
        for proposal in proposals {
            let effects = state.apply(&proposal).effects;
            let named: std::collections::BTreeSet<Digest> = state.blobs().collect();
            for effect in effects {
                if let crate::Effect::FreeBlob { digest } = effect {
                    prop_assert!(!named.contains(&digest), "a blob that is named is not freed");
                }
            }
            let sessions: Vec<SessionId> = state.sessions_after(None).map(|(id, _)| id.clone()).collect();
            let mut seen = 0;
            for session in std::iter::once(None).chain(sessions.iter().map(Some)) {
                for (id, program) in state.programs_after(session, None) {
                    seen += 1;
                    prop_assert_eq!(program.info.key.session.as_ref(), session);
                    prop_assert_eq!(state.program(&program.info.key).map(|(id, _)| id), Some(id));
                    let numbers: Vec<u64> = program.versions().map(|(number, _)| number).collect();
                    let oldest = program.oldest_version().expect("a version");
                    prop_assert_eq!(numbers, (oldest..=program.info.version).collect::<Vec<_>>());
                    prop_assert!(program.optimizations().all(|(_, one)| one.program_version <= program.info.version));
                }
            }
            // Those of a session whose time is over are held until it is removed, and seen by nobody.
            prop_assert!(seen <= state.programs_held());
            if state.sessions_held() == sessions.len() {
                prop_assert_eq!(seen, state.programs_held(), "no program outlives its session");
            }
        }
    }

    #[test]
    fn a_session_has_every_version_since_its_creation_or_the_newest_hundred(proposals in proposals()) {
        let mut state = State::new();
        let mut last = std::collections::BTreeMap::new();
        for proposal in proposals {
            state.apply(&proposal);
            let now: std::collections::BTreeMap<_, _> =
                state.sessions_after(None).map(|(id, session)| (id.clone(), session.info)).collect();
            for (id, info) in &now {
                let before = last.get(id).map_or(0, |before: &crate::SessionInfo| before.version);
                let made_anew = info.version == 1;
                prop_assert!(made_anew || info.version == before || info.version == before + 1);
                let session = state.session(id).expect("listed");
                let numbers: Vec<u64> = session.versions().map(|(number, _)| number).collect();
                prop_assert_eq!(numbers, (session.oldest_version().unwrap_or(0)..=info.version).collect::<Vec<_>>());
            }
            last = now;
        }
    }
}
