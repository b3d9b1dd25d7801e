//! A program, or its next version where it stands where the caller saw it.

use crate::record::{Key, Record};
use crate::state::Decision;
use crate::{
    Effect, NewProgramVersion, Outcome, PROGRAM_BYTES_MAX, PROGRAM_VERSIONS_MAX, PROGRAMS_PER_SESSION_MAX,
    PROGRAMS_TOTAL_BYTES_MAX, Program, ProgramId, ProgramInfo, ProgramStatus, ProgramVersion, Rejection, State,
};

pub(crate) fn put_program(state: &State, put: &NewProgramVersion, by: Option<&str>) -> Decision {
    let held = match standing(state, put) {
        Ok(held) => held,
        Err(rejection) => return super::rejected(rejection),
    };
    let version = match next(state, put, held, by) {
        Ok(version) => version,
        Err(rejection) => return super::rejected(rejection),
    };
    let now_ms = state.log_time_ms();
    let (id, info) = match held {
        Some((id, program)) => {
            let version = program.info.version + 1;
            (id, ProgramInfo { version, updated_ms: now_ms, ..program.info.clone() })
        }
        None => {
            let (key, status) = (put.key.clone(), ProgramStatus::default());
            (put.program, ProgramInfo { key, status, version: 1, created_ms: now_ms, updated_ms: now_ms })
        }
    };
    let number = info.version;
    let mut decision = Decision::new(Outcome::ProgramWritten { program: id, version: number })
        .write(Record::Program(id, Box::new(info)))
        .write(Record::ProgramVersion(id, number, Box::new(version)));
    if let Some((_, program)) = held {
        forget_oldest(state, id, program, number, &mut decision);
    }
    decision
}

/// The program, where it stands at the version that the caller saw; `None`: there is none, as the caller saw.
fn standing<'a>(state: &'a State, put: &NewProgramVersion) -> Result<Option<(ProgramId, &'a Program)>, Rejection> {
    if let Some(session) = &put.key.session
        && state.session(session).is_none()
    {
        return Err(Rejection::SessionNotFound);
    }
    let held = state.program(&put.key);
    let current = held.map_or(0, |(_, program)| program.info.version);
    match put.expected_version {
        Some(expected) if expected != current && current == 0 => return Err(Rejection::ProgramNotFound),
        Some(expected) if expected != current => return Err(Rejection::ProgramConflict { current }),
        _ => {}
    }
    if held.is_some() {
        return Ok(held);
    }
    if state.holds_program(put.program) {
        return Err(Rejection::ProgramIdTaken);
    }
    if let Some(session) = &put.key.session
        && state.programs_after(Some(session), None).count() >= PROGRAMS_PER_SESSION_MAX
    {
        return Err(Rejection::TooManyPrograms { limit: PROGRAMS_PER_SESSION_MAX as u64 });
    }
    Ok(None)
}

fn next(
    state: &State,
    put: &NewProgramVersion,
    held: Option<(ProgramId, &Program)>,
    by: Option<&str>,
) -> Result<ProgramVersion, Rejection> {
    let before = held.and_then(|(_, program)| program.newest());
    let (definition, signature) = match (&put.definition, before) {
        (Some(given), _) => given.clone(),
        (None, Some(before)) => (before.definition.clone(), before.signature.clone()),
        (None, None) => return Err(Rejection::ProgramNotFound),
    };
    let variables = before.map(|before| before.variables.clone()).unwrap_or_default().changed(&put.variables);
    let version = ProgramVersion {
        definition,
        signature,
        variables,
        written_ms: state.log_time_ms(),
        written_by: super::actor(by),
        note: put.note.clone(),
    };
    let (bytes, limit) = (version.bytes(), PROGRAM_BYTES_MAX);
    if bytes > limit {
        return Err(Rejection::ProgramTooLarge { bytes: bytes as u64, limit: limit as u64 });
    }
    let (bytes, limit) = (state.programs_weight() + version.weight(), PROGRAMS_TOTAL_BYTES_MAX);
    if bytes > limit {
        return Err(Rejection::ProgramsFull { bytes, limit });
    }
    Ok(version)
}

/// The oldest version makes way, and its blob where no other version names it.
fn forget_oldest(state: &State, id: ProgramId, program: &Program, newest: u64, decision: &mut Decision) {
    let Some(oldest) = program.oldest_version().filter(|oldest| newest - oldest >= PROGRAM_VERSIONS_MAX as u64) else {
        return;
    };
    decision.removed.push(Key::ProgramVersion(id, oldest));
    let blob = program.version(oldest).and_then(|version| version.definition.blob());
    let named_anew = |digest| {
        decision.written.iter().any(|record| match record {
            Record::ProgramVersion(_, _, version) => version.definition.blob() == Some(digest),
            _ => false,
        })
    };
    if let Some(digest) = blob.filter(|digest| state.programs_naming(digest) == 1 && !named_anew(*digest)) {
        decision.effects.push(Effect::FreeBlob { digest });
    }
}
