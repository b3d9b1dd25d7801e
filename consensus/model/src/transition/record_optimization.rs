//! The result of an optimization joins those of its program; the oldest makes way.

use crate::record::{Key, Record};
use crate::state::Decision;
use crate::{
    NewOptimization, OPTIMIZATION_BYTES_MAX, OPTIMIZATIONS_MAX, Optimization, Outcome, PROGRAMS_TOTAL_BYTES_MAX,
    Rejection, State,
};

pub(crate) fn record_optimization(state: &State, new: &NewOptimization, by: Option<&str>) -> Decision {
    let (id, program) = match super::program_at(state, &new.key, None) {
        Ok(held) => held,
        Err(rejection) => return super::rejected(rejection),
    };
    let optimization = Optimization {
        id: new.id,
        optimizer_type: new.optimizer_type.clone(),
        parameters: new.parameters.clone(),
        performance_metrics: new.performance_metrics.clone(),
        training_data: new.training_data,
        program_version: new.program_version,
        created_ms: state.log_time_ms(),
        recorded_by: super::actor(by),
    };
    let current = program.info.version;
    if !(1..=current).contains(&new.program_version) {
        return super::rejected(Rejection::ProgramVersionNotFound { version: new.program_version, current });
    }
    if program.optimizations().any(|(_, known)| known.id == new.id) {
        return super::rejected(Rejection::OptimizationExists);
    }
    let (bytes, limit) = (optimization.bytes(), OPTIMIZATION_BYTES_MAX);
    if bytes > limit {
        return super::rejected(Rejection::OptimizationTooLarge { bytes: bytes as u64, limit: limit as u64 });
    }
    let (bytes, limit) = (state.programs_weight() + optimization.weight(), PROGRAMS_TOTAL_BYTES_MAX);
    if bytes > limit {
        return super::rejected(Rejection::ProgramsFull { bytes, limit });
    }
    let number = program.optimizations().next_back().map_or(1, |(last, _)| last + 1);
    let mut decision = Decision::new(Outcome::OptimizationRecorded { number }).write(Record::Optimization(
        id,
        number,
        Box::new(optimization),
    ));
    if program.optimizations().len() >= OPTIMIZATIONS_MAX
        && let Some((oldest, _)) = program.optimizations().next()
    {
        decision.removed.push(Key::Optimization(id, oldest));
    }
    decision
}
