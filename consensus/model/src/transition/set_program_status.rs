//! How far a program is. No version: what it is made of stays.

use crate::record::Record;
use crate::state::Decision;
use crate::{Outcome, ProgramInfo, ProgramKey, ProgramStatus, State};

pub(crate) fn set_program_status(
    state: &State,
    key: &ProgramKey,
    expected_version: Option<u64>,
    status: ProgramStatus,
) -> Decision {
    let (id, program) = match super::program_at(state, key, expected_version) {
        Ok(held) => held,
        Err(rejection) => return super::rejected(rejection),
    };
    let info = ProgramInfo { status, updated_ms: state.log_time_ms(), ..program.info.clone() };
    let outcome = Outcome::ProgramWritten { program: id, version: info.version };
    Decision::new(outcome).write(Record::Program(id, Box::new(info)))
}
