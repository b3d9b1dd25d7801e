//! Programs: one version after another, for everybody or for a session, and what their optimizations gave.

use super::story::Story;
use crate::{
    Command, Digest, Effect, Name, NewOptimization, NewProgramVersion, OPTIMIZATION_BYTES_MAX, OPTIMIZATIONS_MAX,
    OptimizationId, Outcome, PROGRAM_BYTES_MAX, PROGRAM_VERSIONS_MAX, PROGRAMS_PER_SESSION_MAX, Program,
    ProgramDefinition, ProgramId, ProgramKey, ProgramStatus, Proposal, Rejection, SessionChange, SessionId, Signature,
    State, TypeNames,
};

pub(super) fn key(name: &str, session: Option<&str>) -> ProgramKey {
    ProgramKey { session: session.map(session_id), name: Name::new(name).expect("a name") }
}

fn session_id(text: &str) -> SessionId {
    SessionId::new(text).expect("an id")
}

fn inline(text: &str) -> ProgramDefinition {
    ProgramDefinition::Inline(text.to_owned())
}

pub(super) fn large(bytes: &[u8]) -> ProgramDefinition {
    ProgramDefinition::Blob { digest: Digest::of(bytes), bytes: bytes.len() as u64 }
}

fn version(key: ProgramKey, definition: ProgramDefinition) -> NewProgramVersion {
    // Made of the name, as a drawn one would be of its request.
    let digest = Digest::of(key.to_string().as_bytes()).0;
    let program = digest[..16].iter().fold(0, |id, &byte| id << 8 | u128::from(byte));
    let signature = Signature::of_text("question -> answer", TypeNames::Known).expect("a signature");
    NewProgramVersion {
        program: ProgramId(program),
        key,
        expected_version: None,
        definition: Some((definition, Some(signature))),
        variables: SessionChange::default(),
        note: String::new(),
    }
}

pub(super) fn put(name: &str, session: Option<&str>, definition: ProgramDefinition) -> Command {
    Command::PutProgram(Box::new(version(key(name, session), definition)))
}

fn put_at(name: &str, expected_version: u64, text: &str) -> Command {
    let version = version(key(name, None), inline(text));
    Command::PutProgram(Box::new(NewProgramVersion { expected_version: Some(expected_version), ..version }))
}

pub(super) fn optimized(name: &str, number: u128) -> Command {
    Command::RecordOptimization(Box::new(NewOptimization {
        id: OptimizationId(number),
        key: key(name, None),
        optimizer_type: "MIPROv2".to_owned(),
        parameters: "{\"auto\":\"light\"}".to_owned(),
        performance_metrics: "{\"score\":81.5}".to_owned(),
        training_data: Some(Digest::of(b"trainset")),
        program_version: 1,
    }))
}

fn delete(name: &str, expected_version: Option<u64>) -> Command {
    Command::DeleteProgram { key: key(name, None), expected_version }
}

fn create_session(name: &str, ttl_ms: Option<u64>) -> Command {
    Command::CreateSession { session: session_id(name), ttl_ms, data: Vec::new() }
}

fn held<'a>(state: &'a State, name: &str) -> &'a Program {
    state.program(&key(name, None)).expect("it exists").1
}

fn number(outcome: &Outcome) -> u64 {
    match outcome {
        Outcome::ProgramWritten { version, .. } => *version,
        other => panic!("{other:?}"),
    }
}

fn refused(outcome: Outcome) -> Rejection {
    match outcome {
        Outcome::Rejected(rejection) => rejection,
        other => panic!("{other:?} is no refusal"),
    }
}

#[test]
fn a_program_begins_as_a_draft_and_counts_its_versions() {
    let mut story = Story::default();
    let named = Proposal { actor: Some("anna".to_owned()), ..Proposal::internal(put("qa", None, inline("{}"))) };
    let (outcome, effects) = story.apply_proposal(named);
    let Outcome::ProgramWritten { program, version: 1 } = outcome else { panic!("{outcome:?}") };
    assert!(effects.is_empty());
    let born_ms = story.now_ms;
    assert_eq!(number(&story.apply(put("qa", None, inline("{\"a\":1}"))).0), 2);
    let held = held(&story.state, "qa");
    assert_eq!(
        (held.info.status, held.info.created_ms, held.info.updated_ms),
        (ProgramStatus::Draft, born_ms, born_ms + 10)
    );
    let texts: Vec<_> = held.versions().map(|(number, version)| (number, version.definition.clone())).collect();
    assert_eq!(texts, [(1, inline("{}")), (2, inline("{\"a\":1}"))]);
    let authors: Vec<_> = held.versions().map(|(_, version)| version.written_by.as_str()).collect();
    assert_eq!(authors, ["anna", ""], "who wrote is kept with what was written");
    assert_eq!(
        held.newest().and_then(|version| version.signature.as_ref()).map(Signature::text).as_deref(),
        Some("question -> answer")
    );
    assert_eq!(story.state.program_by_id(program).map(|program| program.info.version), Some(2));
}

#[test]
fn a_write_counts_only_at_the_version_that_its_caller_saw() {
    let mut story = Story::default();
    assert_eq!(refused(story.apply(put_at("qa", 1, "{}")).0), Rejection::ProgramNotFound);
    assert_eq!(number(&story.apply(put_at("qa", 0, "{}")).0), 1);
    assert_eq!(refused(story.apply(put_at("qa", 0, "{}")).0), Rejection::ProgramConflict { current: 1 });
    assert_eq!(number(&story.apply(put_at("qa", 1, "{}")).0), 2);
    assert_eq!(refused(story.apply(put_at("qa", 1, "{}")).0), Rejection::ProgramConflict { current: 2 });
    assert_eq!(refused(story.apply(delete("qa", Some(1))).0), Rejection::ProgramConflict { current: 2 });
    let status = |expected_version| Command::SetProgramStatus {
        key: key("qa", None),
        expected_version,
        status: ProgramStatus::Ready,
    };
    assert_eq!(refused(story.apply(status(Some(1))).0), Rejection::ProgramConflict { current: 2 });
    assert_eq!(number(&story.apply(status(Some(2))).0), 2, "a status is no version");
    assert_eq!(held(&story.state, "qa").info.status, ProgramStatus::Ready);
    assert_eq!(number(&story.apply(put_at("qa", 2, "{}")).0), 3);
    assert_eq!(held(&story.state, "qa").info.status, ProgramStatus::Ready, "it stays what it is");
}

#[test]
fn variables_change_without_the_definition_and_the_definition_without_variables() {
    let mut story = Story::default();
    let set = |name: &str, value: &str| SessionChange {
        set: vec![(name.to_owned(), value.to_owned())],
        ..SessionChange::default()
    };
    let change = |definition: Option<ProgramDefinition>, variables| {
        let version = version(key("qa", None), inline("{}"));
        let definition = definition.map(|definition| (definition, None));
        Command::PutProgram(Box::new(NewProgramVersion { definition, variables, note: "n".to_owned(), ..version }))
    };
    assert_eq!(refused(story.apply(change(None, set("t", "1"))).0), Rejection::ProgramNotFound, "made of nothing");
    story.apply(change(Some(inline("{\"one\":1}")), set("t", "1")));
    story.apply(change(None, set("k", "2")));
    story.apply(change(Some(inline("{\"two\":2}")), SessionChange::default()));
    let shown: Vec<_> = held(&story.state, "qa")
        .versions()
        .map(|(_, version)| {
            (
                version.definition.clone(),
                version.variables.values().map(|(name, _)| name.to_owned()).collect::<Vec<_>>(),
            )
        })
        .collect();
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        shown,
        [
            (inline("{\"one\":1}"), names(&["t"])),
            (inline("{\"one\":1}"), names(&["k", "t"])),
            (inline("{\"two\":2}"), names(&["k", "t"])),
        ]
    );
}

#[test]
fn the_newest_twenty_versions_are_kept_and_blobs_of_the_others_may_go() {
    let mut story = Story::default();
    story.apply(put("qa", None, large(b"first")));
    story.apply(put("qa", None, large(b"second")));
    for count in 3..=PROGRAM_VERSIONS_MAX {
        assert!(story.apply(put("qa", None, inline(&count.to_string()))).1.is_empty());
    }
    let named: Vec<Digest> = story.state.program_blobs().collect();
    assert_eq!(named.len(), 2);
    let freed = |text: &[u8]| vec![Effect::FreeBlob { digest: Digest::of(text) }];
    assert_eq!(story.apply(put("qa", None, inline("21"))).1, freed(b"first"));
    // The second one comes again, so it stays.
    assert!(story.apply(put("qa", None, large(b"second"))).1.is_empty());
    let held = held(&story.state, "qa");
    assert_eq!((held.info.version, held.oldest_version()), (22, Some(3)));
    assert_eq!(held.versions().count(), PROGRAM_VERSIONS_MAX);
    assert_eq!((held.version(2), held.version(23)), (None, None));
    assert!(held.version(3).is_some());
    assert_eq!(story.state.records().count(), 2 + PROGRAM_VERSIONS_MAX, "log time, the program and its versions");
    assert!(story.state.program_names_blob(&Digest::of(b"second")));
    assert_eq!(story.apply(delete("qa", None)).1, freed(b"second"));
    assert_eq!(story.state.records().count(), 1, "only log time is left");
}

#[test]
fn a_blob_of_two_programs_stays_as_long_as_one_of_them() {
    let mut story = Story::default();
    story.apply(put("one", None, large(b"same")));
    story.apply(put("two", None, large(b"same")));
    story.apply(put("two", None, large(b"same")));
    assert!(story.apply(delete("one", None)).1.is_empty());
    assert_eq!(story.apply(delete("two", Some(2))).1, [Effect::FreeBlob { digest: Digest::of(b"same") }]);
    assert_eq!(refused(story.apply(delete("two", None)).0), Rejection::ProgramNotFound);
}

#[test]
fn a_session_has_programs_of_its_own_and_falls_back_to_those_of_all() {
    let mut story = Story::default();
    assert_eq!(refused(story.apply(put("qa", Some("s"), inline("{}"))).0), Rejection::SessionNotFound);
    story.apply(create_session("s", None));
    story.apply(put("qa", None, inline("{\"of\":\"all\"}")));
    let name = Name::new("qa").expect("a name");
    let found = |state: &State, session: &str| {
        let (_, program) = state.program_for(Some(&session_id(session)), &name).expect("found");
        program.newest().expect("a version").definition.clone()
    };
    assert_eq!(found(&story.state, "s"), inline("{\"of\":\"all\"}"));
    story.apply(put("qa", Some("s"), inline("{\"of\":\"s\"}")));
    assert_eq!(found(&story.state, "s"), inline("{\"of\":\"s\"}"));
    assert_eq!(found(&story.state, "other"), inline("{\"of\":\"all\"}"));
    let names = |session: Option<&str>| {
        let session = session.map(session_id);
        story
            .state
            .programs_after(session.as_ref(), None)
            .map(|(_, program)| program.info.key.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!((names(None), names(Some("s"))), (vec!["qa".to_owned()], vec!["qa of session s".to_owned()]));
}

#[test]
fn the_programs_of_a_session_leave_with_it() {
    let mut story = Story::default();
    for name in ["deleted", "short", "other"] {
        story.apply(create_session(name, (name == "short").then_some(1000)));
        story.apply(put("qa", Some(name), large(name.as_bytes())));
        story.apply(put("b", Some(name), inline("{}")));
    }
    let deleted = story.apply(Command::DeleteSession { session: session_id("deleted"), expected_version: None });
    assert_eq!(deleted, (Outcome::Done, vec![Effect::FreeBlob { digest: Digest::of(b"deleted") }]));
    assert_eq!(story.state.programs_held(), 4);
    let of_short = || key("qa", Some("short"));
    assert!(story.state.program(&of_short()).is_some());
    story.now_ms += 2000;
    let ended = story.apply(Command::Tick).1;
    assert_eq!(ended, [Effect::FreeBlob { digest: Digest::of(b"short") }]);
    assert_eq!(story.state.programs_held(), 2);
    assert!(story.state.program(&of_short()).is_none() && story.state.program(&key("qa", Some("other"))).is_some());
}

#[test]
fn a_session_whose_time_is_over_shows_no_program_and_takes_none_even_before_it_is_removed() {
    let mut story = Story::default();
    // More than one command removes.
    for number in 0..20 {
        story.apply(create_session(&format!("s{number:02}"), Some(1000)));
    }
    story.apply(put("qa", Some("s19"), large(b"old")));
    let id = story.state.program(&key("qa", Some("s19"))).expect("there").0;
    story.now_ms += 5000;
    assert_eq!(refused(story.apply(put("b", Some("s18"), inline("{}"))).0), Rejection::SessionNotFound);
    assert_eq!(story.state.programs_held(), 1, "it is still held");
    assert!(story.state.program(&key("qa", Some("s19"))).is_none() && story.state.program_by_id(id).is_none());
    assert_eq!(story.state.programs_after(Some(&session_id("s19")), None).count(), 0);
    // Another session of this name begins without the programs of the first.
    assert_eq!(story.apply(create_session("s19", None)).1, [Effect::FreeBlob { digest: Digest::of(b"old") }]);
    assert_eq!(story.state.programs_held(), 0);
    assert_eq!(number(&story.apply(put("qa", Some("s19"), inline("{}"))).0), 1);
}

#[test]
fn one_apply_removes_a_bounded_number_of_records_of_sessions() {
    let mut story = Story::default();
    for session in 0..3 {
        let name = format!("s{session}");
        story.apply(create_session(&name, Some(100_000)));
        for program in 0..PROGRAMS_PER_SESSION_MAX {
            for _ in 0..3 {
                let put = Proposal {
                    stamp_ms: story.now_ms,
                    ..Proposal::internal(put(&format!("p{program}"), Some(&name), inline("{}")))
                };
                story.apply_quickly(&put);
            }
        }
    }
    story.now_ms += 200_000;
    let mut left = Vec::new();
    for _ in 0..3 {
        story.apply(Command::Audit { action: String::new(), subject: String::new() });
        left.push(story.state.sessions_held());
    }
    assert_eq!(left, [1, 0, 0], "two hundred programs with three versions are enough for one command");
    assert_eq!(story.state.programs_held(), 0);
}

#[test]
fn programs_have_limits() {
    let mut story = Story::default();
    let limit = PROGRAM_BYTES_MAX as u64;
    // Beside the definition the signature counts.
    let signature = "questionanswer".len();
    assert_eq!(number(&story.apply(put("qa", None, inline(&"x".repeat(PROGRAM_BYTES_MAX - signature)))).0), 1);
    let more = story.apply(put("qa", None, inline(&"x".repeat(PROGRAM_BYTES_MAX - signature + 1)))).0;
    assert_eq!(refused(more), Rejection::ProgramTooLarge { bytes: limit + 1, limit });
    story.apply(create_session("s", None));
    for number in 0..PROGRAMS_PER_SESSION_MAX {
        story.apply(put(&format!("p{number}"), Some("s"), inline("{}")));
    }
    let limit = PROGRAMS_PER_SESSION_MAX as u64;
    assert_eq!(refused(story.apply(put("more", Some("s"), inline("{}"))).0), Rejection::TooManyPrograms { limit });
    assert_eq!(number(&story.apply(put("p1", Some("s"), inline("{}"))).0), 2, "another version is none more");
    let mut taken = version(key("other", None), inline("{}"));
    taken.program = story.state.program(&key("qa", None)).expect("there").0;
    assert_eq!(refused(story.apply(Command::PutProgram(Box::new(taken))).0), Rejection::ProgramIdTaken);
}

#[test]
fn all_programs_together_hold_no_more_than_their_limit() {
    let mut state = State::new();
    let text = "x".repeat(PROGRAM_BYTES_MAX - 1024);
    let mut last = Outcome::Done;
    for program in 0..1000 {
        for _ in 0..PROGRAM_VERSIONS_MAX {
            let put = Proposal::internal(put(&format!("p{program}"), None, inline(&text)));
            last = state.apply(&put).outcome;
            if matches!(last, Outcome::Rejected(_)) {
                break;
            }
        }
        if matches!(last, Outcome::Rejected(_)) {
            break;
        }
    }
    let limit = crate::PROGRAMS_TOTAL_BYTES_MAX;
    assert!(
        matches!(last, Outcome::Rejected(Rejection::ProgramsFull { bytes, limit: of }) if bytes > limit && of == limit),
        "{last:?}"
    );
    let recorded = state.apply(&Proposal::internal(optimized("p1", 1))).outcome;
    assert_eq!(recorded, Outcome::OptimizationRecorded { number: 1 }, "there is room for something small");
    assert_eq!(state.apply(&Proposal::internal(delete("p1", None))).outcome, Outcome::Done);
    assert_eq!(number(&state.apply(&Proposal::internal(put("new", None, inline(&text)))).outcome), 1);
}

#[test]
fn optimizations_are_the_history_of_their_program() {
    let mut story = Story::default();
    assert_eq!(refused(story.apply(optimized("qa", 1)).0), Rejection::ProgramNotFound);
    story.apply(put("qa", None, inline("{}")));
    for id in 1..=OPTIMIZATIONS_MAX as u64 + 5 {
        assert_eq!(story.apply(optimized("qa", u128::from(id))).0, Outcome::OptimizationRecorded { number: id });
    }
    assert_eq!(refused(story.apply(optimized("qa", 50)).0), Rejection::OptimizationExists);
    let of_version = |program_version, parameters: String| {
        let Command::RecordOptimization(new) = optimized("qa", 1000) else { unreachable!("it is one") };
        Command::RecordOptimization(Box::new(NewOptimization { program_version, parameters, ..*new }))
    };
    for version in [0, 2] {
        let missing = Rejection::ProgramVersionNotFound { version, current: 1 };
        assert_eq!(refused(story.apply(of_version(version, "{}".to_owned())).0), missing);
    }
    let bytes = OPTIMIZATION_BYTES_MAX as u64 + 1;
    let metrics = "{\"score\":81.5}".len();
    let large = "x".repeat(OPTIMIZATION_BYTES_MAX + 1 - metrics);
    let too_large = Rejection::OptimizationTooLarge { bytes, limit: bytes - 1 };
    assert_eq!(refused(story.apply(of_version(1, large)).0), too_large);
    let held = held(&story.state, "qa");
    let numbers: Vec<u64> = held.optimizations().map(|(number, _)| number).collect();
    assert_eq!(numbers, (6..=105).collect::<Vec<_>>(), "the newest hundred");
    assert_eq!(held.info.version, 1, "none of them is a version");
    story.apply(delete("qa", None));
    assert_eq!(story.state.records().count(), 1, "only log time is left");
}

#[test]
fn who_wrote_and_deleted_programs_is_in_the_audit_trail() {
    let mut story = Story::default();
    story.apply(create_session("s", None));
    let mut by =
        |command| story.apply_proposal(Proposal { actor: Some("anna".to_owned()), ..Proposal::internal(command) });
    by(put("qa", Some("s"), inline("{}")));
    by(put("qa", None, inline("{}")));
    by(Command::SetProgramStatus { key: key("qa", None), expected_version: None, status: ProgramStatus::Deprecated });
    by(optimized("qa", 1));
    by(delete("qa", Some(9)));
    by(delete("qa", None));
    let trail: Vec<_> = story
        .state
        .audit()
        .map(|(_, entry)| (entry.action.as_str(), entry.subject.as_str(), entry.refusal.is_some()))
        .collect();
    assert_eq!(
        trail,
        [
            ("program delete", "qa", false),
            ("program delete", "qa", true),
            ("program status", "qa: deprecated", false),
            ("program put", "qa", false),
            ("program put", "qa of session s", false),
        ]
    );
}
