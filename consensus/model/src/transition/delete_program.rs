//! A program leaves the state with its history and its optimizations.

use crate::state::Decision;
use crate::{ProgramKey, State};

pub(crate) fn delete_program(state: &State, key: &ProgramKey, expected_version: Option<u64>) -> Decision {
    match super::program_at(state, key, expected_version) {
        Ok((id, _)) => super::without_programs(state, &[id]),
        Err(rejection) => super::rejected(rejection),
    }
}
