//! Results come in: the first one for an example counts, and the last example finishes the run.

use std::collections::BTreeSet;

use crate::record::Record;
use crate::state::Decision;
use crate::{
    Effect, ExampleResult, Outcome, RecordedResult, Rejection, Run, RunId, RunProgress, RunStatus, State, Usage,
    UsageEntry, evaluation_score, run_digest,
};

/// DSPy's own words, which its users search for.
const TOO_MANY_ERRORS: &str = "Execution cancelled due to errors or interruption.";

/// Names of models that a run keeps apart, and kinds of tokens over all of them.
const MODELS_MAX: usize = 256;
const KINDS_MAX: usize = 1024;
/// Where the tokens of all further names are counted.
const OTHER: &str = "other";

pub(crate) fn record_results(
    state: &State,
    id: RunId,
    generation: u64,
    names: &[String],
    results: &[RecordedResult],
) -> Decision {
    let run = match acceptable(state, id, generation, results) {
        Ok(run) => run,
        Err(rejection) => return super::rejected(rejection),
    };
    let mut progress = run.progress.clone();
    let mut taken = BTreeSet::new();
    let mut written = Vec::new();
    for result in results {
        let known = run.results[result.index as usize].is_some();
        if known || !taken.insert(result.index) {
            progress.duplicates += 1;
            continue;
        }
        count(&mut progress, result, names);
        // Whoever executes it counts from 1 again: only the state knows what was before a retry.
        let before = run.attempts.get(&result.index).copied().unwrap_or_default();
        let attempt = result.result.attempt.saturating_add(before);
        written.push(Record::RunResult(id, result.index, ExampleResult { attempt, ..result.result.clone() }));
    }
    let recorded = written.len() as u32;
    let progress = conclude(state, run, progress, &written);
    let status = progress.status;
    let duplicates = results.len() as u32 - recorded;
    let mut decision = Decision::new(Outcome::ResultsRecorded { recorded, duplicates, status });
    decision.written = written;
    let decision = decision.write(Record::RunProgress(id, Box::new(progress)));
    match status.is_under_way() {
        true => decision,
        false => decision.effect(Effect::StopRun { run: id }),
    }
}

fn acceptable<'a>(
    state: &'a State,
    id: RunId,
    generation: u64,
    results: &[RecordedResult],
) -> Result<&'a Run, Rejection> {
    let held = state.run(id).ok_or(Rejection::RunNotFound(id))?;
    let current = held.progress.generation;
    if generation != current {
        return Err(Rejection::StaleGeneration { current });
    }
    let run = super::under_way(state, id)?;
    let examples = run.results.len() as u32;
    match results.iter().find(|result| result.index >= examples) {
        Some(RecordedResult { index, .. }) => Err(Rejection::NoSuchExample { index: *index, examples }),
        None => Ok(run),
    }
}

fn count(progress: &mut RunProgress, recorded: &RecordedResult, names: &[String]) {
    progress.done += 1;
    progress.failed += u32::from(recorded.result.failure.is_some());
    progress.score_sum += recorded.result.score.value;
    recorded.usage.iter().for_each(|entry| add_usage(&mut progress.usage, *entry, names));
    match recorded.cost_nanousd {
        Some(cost) => progress.cost_nanousd = progress.cost_nanousd.saturating_add(cost),
        None => progress.unknown_costs += 1,
    }
}

fn add_usage(usage: &mut Usage, entry: UsageEntry, names: &[String]) {
    let (model, kind) = (names.get(usize::from(entry.model)), names.get(usize::from(entry.kind)));
    if let (Some(model), Some(kind)) = (model, kind) {
        let (models, kinds) = (usage.len(), usage.values().map(|kinds| kinds.len()).sum::<usize>());
        let known = usage.get(model).map(|kinds| kinds.contains_key(kind));
        // Names that a program makes up must not let a record grow without end: their tokens are counted together.
        let (model, kind) = match known {
            Some(true) => (model.as_str(), kind.as_str()),
            None if models >= MODELS_MAX => (OTHER, OTHER),
            _ if kinds >= KINDS_MAX => (OTHER, OTHER),
            _ => (model.as_str(), kind.as_str()),
        };
        let tokens = usage.entry(model.to_owned()).or_default().entry(kind.to_owned()).or_default();
        *tokens = tokens.saturating_add(entry.tokens);
    }
}

/// Errors are judged before completeness: DSPy raises even when the last example brings the last error.
fn conclude(state: &State, run: &Run, mut progress: RunProgress, written: &[Record]) -> RunProgress {
    let new_errors = progress.failed > run.progress.failed;
    if new_errors && progress.failed >= run.spec.max_errors {
        end(state, run, &mut progress, RunStatus::Failed);
        progress.reason = TOO_MANY_ERRORS.to_owned();
    } else if progress.done as usize == run.results.len() {
        end(state, run, &mut progress, RunStatus::Finished);
        let all = complete(run, written);
        let scores: Vec<_> = all.iter().map(|result| result.score).collect();
        progress.score = evaluation_score(run.spec.sum_rule, &scores);
        progress.digest = Some(run_digest(run.spec.dataset.digest, all.iter().copied()));
    }
    progress
}

fn end(state: &State, run: &Run, progress: &mut RunProgress, status: RunStatus) {
    progress.status = status;
    progress.ended_ms = state.log_time_ms();
    progress.executed_ms = run.executed_ms(state.log_time_ms());
}

/// All results in example order: those of the state and those being written.
fn complete<'a>(run: &'a Run, written: &'a [Record]) -> Vec<&'a ExampleResult> {
    let mut all: Vec<Option<&ExampleResult>> = run.results.iter().map(Option::as_ref).collect();
    for record in written {
        if let Record::RunResult(_, index, result) = record {
            all[*index as usize] = Some(result);
        }
    }
    all.into_iter().flatten().collect()
}
