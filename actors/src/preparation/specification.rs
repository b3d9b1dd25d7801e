//! From a request and a loaded program to the run's specification, with every default filled in.

use std::path::Path;

use dspex_model::{Dataset, Digest, RunId, RunSpec, RunStatus, Score, ScoreKind, Shipped, State, SumRule};
use dspex_python::protocol::{self, InputsFrom};
use serde_json::{Value, json};

use super::check::{Checked, NUM_THREADS, default_workers, sites};
use super::sources;
use crate::capacity::RunLimits;
use crate::context::NodeContext;
use crate::error::{SubmitError, SubmitErrorKind};
use crate::submission::{Caller, Column, DatasetSource, EvaluationRequest};

/// Once after a crash.
const RETRIES: u32 = 1;
/// More threads than this are a typing error.
const NUM_THREADS_MAX: u32 = 4096;

/// A specification, and what a person wants to know of it.
pub(super) struct Specified {
    pub(super) spec: RunSpec,
    pub(super) notes: Vec<String>,
}

pub(super) async fn specify(
    context: &NodeContext,
    caller: &Caller,
    request: &EvaluationRequest,
    checked: &Checked,
) -> Result<Specified, SubmitError> {
    let loaded = &checked.loaded;
    let dataset = dataset(context, request, checked).await?;
    let configured = u32::try_from(loaded.num_threads).ok().filter(|threads| *threads > 0);
    let wanted = request.num_threads.or(configured).unwrap_or(NUM_THREADS);
    let sites = sites(context, caller);
    let Extent { num_threads, workers, shortfalls } = extent(wanted, request.workers, context.parts.runs, &sites)?;
    let mut notes = notes(caller, checked);
    notes.extend(shortfalls);
    let configured_errors = u32::try_from(loaded.max_errors.max(0)).unwrap_or(u32::MAX);
    let mut spec = RunSpec {
        program: request.program.clone(),
        program_class: loaded.program.clone(),
        metric: request.metric.clone(),
        metric_name: loaded.metric.clone(),
        lm: request.lm.clone(),
        lm_settings: request.lm_settings.clone(),
        lm_answers: loaded.lm.clone(),
        inputs: loaded.inputs.clone(),
        saved_state: request.saved_state.clone(),
        dataset,
        num_threads,
        workers,
        timeout_ms: request.timeout_ms,
        retries: request.retries.unwrap_or(RETRIES),
        max_errors: request.max_errors.unwrap_or(configured_errors),
        failure_score: Score { value: request.failure_score.unwrap_or(0.0), kind: ScoreKind::Float },
        environment: request.environment.clone(),
        directory: told_directory(caller).to_string_lossy().into_owned(),
        interpreter: caller.interpreter.to_string_lossy().into_owned(),
        python_version: checked.ready.python.clone(),
        dspy_version: checked.ready.dspy.clone(),
        sum_rule: match checked.ready.sum_rule {
            protocol::SumRule::Plain => SumRule::Plain,
            protocol::SumRule::Compensated => SumRule::Compensated,
        },
        sources: sources::store(context, &loaded.sources).await?,
        specification: Digest([0; 32]),
        shipped: caller.placed.as_ref().map(|placed| Box::new(placed.shipped.clone())),
    };
    spec.specification = specification(&spec);
    Ok(Specified { spec, notes })
}

/// How much of the nodes a run may have.
#[derive(Debug)]
struct Extent {
    num_threads: u32,
    workers: u32,
    /// Where that is less than was asked for.
    shortfalls: Vec<String>,
}

/// `sites`: the CPUs of each node that may execute it.
fn extent(wanted: u32, workers: Option<u32>, limits: RunLimits, sites: &[u32]) -> Result<Extent, SubmitError> {
    if wanted > NUM_THREADS_MAX {
        let message = format!("--num-threads {wanted} is more than {NUM_THREADS_MAX}");
        return Err(SubmitError::new(SubmitErrorKind::Argument, message));
    }
    let num_threads = wanted.min(limits.threads_per_run_max);
    let asked = workers.unwrap_or_else(|| default_workers(sites, num_threads)).min(num_threads);
    let of_one = limits.workers_max.min(limits.workers_per_run_max);
    let workers = asked.min(of_one.saturating_mul(u32::try_from(sites.len()).unwrap_or(u32::MAX)));
    let mut shortfalls = Vec::new();
    if workers < asked {
        shortfalls.push(format!("{workers} workers: a node has no more for a run, whatever is asked for ({asked})"));
    }
    if num_threads < wanted {
        shortfalls.push(format!(
            "{num_threads} threads: a run has no more here (runs.threads_per_run_max), whatever is asked for ({wanted})"
        ));
    }
    Ok(Extent { num_threads, workers, shortfalls })
}

async fn dataset(
    context: &NodeContext,
    request: &EvaluationRequest,
    checked: &Checked,
) -> Result<Dataset, SubmitError> {
    match &request.dataset {
        DatasetSource::File { digest, name, examples, columns, text_cells, envelopes } => {
            let (blobs, blob) = (context.parts.blobs.clone(), *digest);
            let present = tokio::task::spawn_blocking(move || blobs.contains(&blob)).await;
            if !matches!(present, Ok(Ok(true))) {
                let message = format!("the rows of {name} were not uploaded (Blobs.Put), or not kept: send them again");
                return Err(SubmitError::new(SubmitErrorKind::DatasetNotUploaded, message));
            }
            if *envelopes {
                let (digest, name) = (*digest, name.clone());
                return Ok(Dataset { digest, name, examples: *examples, columns: None, text_cells: false });
            }
            inputs_present(name, columns, &checked.loaded.inputs)?;
            let names = columns.iter().map(|column| column.name.clone()).collect();
            Ok(Dataset {
                digest: *digest,
                name: name.clone(),
                examples: *examples,
                columns: Some(names),
                text_cells: *text_cells,
            })
        }
        DatasetSource::Python(reference) => {
            let empty = || {
                SubmitError::from(protocol::LoadFailed {
                    kind: protocol::LoadFailedKind::DatasetEmpty,
                    message: "devset must contain at least one example, got an empty devset.".to_owned(),
                    traceback: None,
                    file: None,
                    line: None,
                })
            };
            let (digest, examples) = checked.rows.ok_or_else(empty)?;
            Ok(Dataset { digest, name: reference.clone(), examples, columns: None, text_cells: false })
        }
    }
}

/// Every row must have every input: a program that is called without one fails for a reason that is hard to find.
fn inputs_present(name: &str, columns: &[Column], inputs: &[String]) -> Result<(), SubmitError> {
    for input in inputs {
        let column = columns.iter().find(|column| column.name == *input);
        let message = match column {
            Some(Column { first_row_without: 0, .. }) => continue,
            Some(Column { first_row_without: line, .. }) => {
                format!("{name}, line {line}: the input {input:?} is missing")
            }
            None => format!(
                "{name} has no column {input:?}; it has {}. Name the inputs with --inputs",
                columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ")
            ),
        };
        return Err(SubmitError::new(SubmitErrorKind::InputsMissing, message));
    }
    Ok(())
}

/// Where the command was typed: what was sent along lies elsewhere, and nobody knows that place.
fn told_directory(caller: &Caller) -> &Path {
    caller.placed.as_ref().map_or(&caller.directory, |placed| &placed.from)
}

/// A digest of everything that decides the result, and nothing that only decides how fast it comes.
fn specification(spec: &RunSpec) -> Digest {
    let mut canonical = json!({
        "version": 1,
        "program": spec.program,
        "metric": spec.metric,
        "lm": spec.lm,
        "lm_settings": spec.lm_settings,
        "inputs": spec.inputs,
        "state": spec.saved_state,
        "dataset": spec.dataset.digest.to_string(),
        "text_cells": spec.dataset.text_cells,
        "timeout_ms": spec.timeout_ms,
        "max_errors": spec.max_errors,
        "failure_score": spec.failure_score.value.to_bits(),
        "environment": spec.environment,
        "directory": spec.directory,
        "python": spec.python_version,
        "dspy": spec.dspy_version,
        "sources": spec.sources.to_string(),
    });
    if let Some(shipped) = &spec.shipped {
        sent_along(&mut canonical, shipped);
    }
    Digest::of(canonical.to_string().as_bytes())
}

/// The project decides, wherever it lay and lies, in the place of single files.
fn sent_along(canonical: &mut Value, shipped: &Shipped) {
    canonical["version"] = json!(2);
    canonical["directory"] = json!(shipped.directory);
    canonical["sources"] = json!(shipped.bundle.map(|bundle| bundle.to_string()));
    canonical["path"] = json!(shipped.path);
    canonical["fingerprint"] = json!(shipped.fingerprint);
    // One that was forced may have anything.
    canonical["forced"] = json!(shipped.fingerprint.is_empty().then_some(&shipped.environment));
}

/// The newest run with this specification that can be continued or is running.
pub(super) fn newest_unfinished(state: &State, specification: Digest) -> Option<RunId> {
    let unfinished = |status: RunStatus| status == RunStatus::Running || status.is_resumable();
    state
        .runs()
        .rev()
        .find(|(_, run)| run.spec.specification == specification && unfinished(run.progress.status))
        .map(|(id, _)| id)
}

/// What a resume does not change, where something else was asked for: these decide how fast a run is, and how careful.
pub(super) fn settings_kept(stored: &RunSpec, asked: &RunSpec) -> Option<String> {
    let settings = [
        ("--num-threads", stored.num_threads, asked.num_threads),
        ("--workers", stored.workers, asked.workers),
        ("--retries", stored.retries, asked.retries),
    ];
    let kept: Vec<String> = settings
        .into_iter()
        .filter(|(_, stored, asked)| stored != asked)
        .map(|(option, stored, _)| format!("{option} {stored}"))
        .collect();
    (!kept.is_empty()).then(|| format!("The run goes on with the settings it was started with: {}", kept.join(" ")))
}

pub(super) fn nothing_to_resume() -> SubmitError {
    SubmitError::new(
        SubmitErrorKind::NothingToResume,
        "no unfinished run has this program, dataset, metric and settings, with the files as they are now; \
         leave out --resume to start one (dspex run list shows all)",
    )
}

/// A resume with another Python or dspy would mix results.
pub(super) fn same_python(spec: &RunSpec, checked: &Checked, caller: &Caller) -> Result<(), SubmitError> {
    let now = (&checked.ready.python, &checked.ready.dspy);
    if now == (&spec.python_version, &spec.dspy_version) {
        return Ok(());
    }
    let what_to_do = match &caller.placed {
        Some(placed) => {
            format!("put the environment {} of this node back, or start a new run", placed.shipped.environment)
        }
        None => format!("choose the former with --python {}", spec.interpreter),
    };
    let message = format!(
        "the run was started with Python {} and dspy {}, this is Python {} and dspy {}: {what_to_do}",
        spec.python_version, spec.dspy_version, now.0, now.1
    );
    Err(SubmitError::new(SubmitErrorKind::SourcesChanged, message))
}

/// What a person wants to know before the first result.
pub(super) fn notes(caller: &Caller, checked: &Checked) -> Vec<String> {
    let loaded = &checked.loaded;
    let from = match loaded.inputs_from {
        InputsFrom::Option => "--inputs",
        InputsFrom::Dataset => "the dataset",
        InputsFrom::Forward => "forward()",
        InputsFrom::Signature => "the signature",
    };
    let mut notes = vec![
        format!(
            "Python {} with dspy {} ({}, from {})",
            checked.ready.python,
            checked.ready.dspy,
            caller.interpreter.display(),
            caller.interpreter_reason
        ),
        format!("Inputs: {} (from {from})", loaded.inputs.join(", ")),
        format!("LM: {}", loaded.lm),
    ];
    notes.extend(loaded.notes.iter().cloned());
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_gets_what_it_asks_for_or_what_its_nodes_have_and_says_where_that_is_less() {
        let limits = RunLimits { workers_max: 8, workers_per_run_max: 4, threads_per_run_max: 32 };
        let given = |threads, workers, sites: &[u32]| {
            let given = extent(threads, workers, limits, sites).expect("so many threads may be asked for");
            (given.num_threads, given.workers, given.shortfalls.len())
        };
        assert_eq!(given(8, Some(3), &[2]), (8, 3, 0));
        assert_eq!(given(8, Some(6), &[2]), (8, 4, 1), "one node has no more");
        assert_eq!(given(8, Some(6), &[2, 2]), (8, 6, 0), "two have");
        assert_eq!(given(2, Some(6), &[2, 2]), (2, 2, 0), "no worker is without a thread");
        assert_eq!(given(64, Some(9), &[2, 2]), (32, 8, 2));
        assert!(extent(NUM_THREADS_MAX + 1, None, limits, &[2]).is_err(), "a typing error");
    }
}
