//! Those of programs and variables.

use super::{hex, session, text};
use crate::record::{Key, Record};
use crate::{
    Command, Digest, Name, NewOptimization, NewProgramVersion, Optimization, OptimizationId, Outcome,
    ProgramDefinition, ProgramId, ProgramInfo, ProgramKey, ProgramStatus, ProgramVersion, Proposal, Rejection,
    SessionChange, SessionData, Signature, SignatureField, VariableInfo, VariableVersion,
};

fn name() -> Name {
    Name::new("qa").expect("a name")
}

fn key() -> ProgramKey {
    ProgramKey { session: Some(session()), name: name() }
}

fn signature() -> Signature {
    let field =
        |name: &str, annotation: Option<&str>| SignatureField { name: text(name), annotation: annotation.map(text) };
    Signature { inputs: vec![field("q", None)], outputs: vec![field("a", Some("int"))] }
}

fn large() -> ProgramDefinition {
    ProgramDefinition::Blob { digest: Digest::of(b"large"), bytes: 300 }
}

fn commands() -> Vec<Command> {
    let variables = SessionChange { replace: false, removed: Vec::new(), set: vec![(text("t"), text("1"))] };
    vec![
        Command::PutProgram(Box::new(NewProgramVersion {
            program: ProgramId(9),
            key: key(),
            expected_version: Some(0),
            definition: Some((ProgramDefinition::Inline(text("{}")), Some(signature()))),
            variables,
            note: text("n"),
        })),
        Command::SetProgramStatus { key: key(), expected_version: None, status: ProgramStatus::Deprecated },
        Command::DeleteProgram { key: ProgramKey { session: None, ..key() }, expected_version: Some(2) },
        Command::RecordOptimization(Box::new(NewOptimization {
            id: OptimizationId(8),
            key: key(),
            optimizer_type: text("o"),
            parameters: text("{}"),
            performance_metrics: text("[]"),
            training_data: Some(Digest::of(b"data")),
            program_version: 2,
        })),
        Command::SetVariable { name: name(), expected_version: Some(1), value: text("2") },
        Command::DeleteVariable { name: name(), expected_version: None },
    ]
}

fn records() -> Vec<Record> {
    let info = ProgramInfo { key: key(), status: ProgramStatus::Ready, version: 2, created_ms: 3, updated_ms: 4 };
    let version = ProgramVersion {
        definition: large(),
        signature: Some(signature()),
        variables: SessionData::new([(text("t"), text("1"))]),
        written_ms: 4,
        written_by: text("an"),
        note: text("n"),
    };
    let optimization = Optimization {
        id: OptimizationId(8),
        optimizer_type: text("o"),
        parameters: text("{}"),
        performance_metrics: text("[]"),
        training_data: None,
        program_version: 2,
        created_ms: 5,
        recorded_by: text("an"),
    };
    let value = VariableVersion { value: text("2"), written_ms: 4, written_by: text("an") };
    vec![
        Record::Program(ProgramId(9), Box::new(info)),
        Record::ProgramVersion(ProgramId(9), 2, Box::new(version)),
        Record::Optimization(ProgramId(9), 1, Box::new(optimization)),
        Record::Variable(name(), VariableInfo { version: 2, created_ms: 3, updated_ms: 4 }),
        Record::VariableVersion(name(), 2, value),
    ]
}

#[test]
fn proposals_of_programs_are_pinned() {
    let shown: Vec<String> = commands()
        .into_iter()
        .map(|command| {
            let proposal = Proposal { stamp_ms: 258, request: None, actor: Some(text("an")), command };
            let bytes = proposal.encode().expect("encodes");
            assert_eq!(Proposal::decode(&bytes).expect("decodes"), proposal);
            hex(&bytes)
        })
        .collect();
    assert_eq!(shown.join("\n"), include_str!("program_proposals.txt").trim_end());
}

#[test]
fn records_of_programs_are_pinned() {
    let shown: Vec<String> = records()
        .into_iter()
        .map(|record| {
            let (key, value) = (record.key().encode(), record.encode());
            let decoded = Key::decode(&key).expect("a key");
            assert_eq!(Record::decode(decoded, &value).expect("decodes"), record);
            format!("{} {}", hex(&key), hex(&value))
        })
        .collect();
    assert_eq!(shown.join("\n"), include_str!("program_records.txt").trim_end());
}

#[test]
fn outcomes_of_programs_are_pinned() {
    let (bytes, limit) = (3, 2);
    let outcomes = [
        (Outcome::ProgramWritten { program: ProgramId(9), version: 2 }, "01080902"),
        (Outcome::OptimizationRecorded { number: 2 }, "010902"),
        (Outcome::VariableWritten { version: 2 }, "010a02"),
        (Outcome::Rejected(Rejection::ProgramNotFound), "010414"),
        (Outcome::Rejected(Rejection::ProgramConflict { current: 2 }), "01041502"),
        (Outcome::Rejected(Rejection::ProgramIdTaken), "010416"),
        (Outcome::Rejected(Rejection::ProgramTooLarge { bytes, limit }), "0104170302"),
        (Outcome::Rejected(Rejection::ProgramsFull { bytes, limit }), "0104180302"),
        (Outcome::Rejected(Rejection::TooManyPrograms { limit }), "01041902"),
        (Outcome::Rejected(Rejection::ProgramVersionNotFound { version: 3, current: 2 }), "01041a0302"),
        (Outcome::Rejected(Rejection::OptimizationExists), "01041b"),
        (Outcome::Rejected(Rejection::OptimizationTooLarge { bytes, limit }), "01041c0302"),
        (Outcome::Rejected(Rejection::VariableNotFound), "01041d"),
        (Outcome::Rejected(Rejection::VariableConflict { current: 2 }), "01041e02"),
        (Outcome::Rejected(Rejection::VariableTooLarge { bytes, limit }), "01041f0302"),
        (Outcome::Rejected(Rejection::VariablesFull { bytes, limit }), "0104200302"),
    ];
    for (outcome, expected) in outcomes {
        let bytes = outcome.encode().expect("encodes");
        assert_eq!(hex(&bytes), expected, "{outcome:?}");
        assert_eq!(Outcome::decode(&bytes).expect("decodes"), outcome);
    }
}
