//! From the model's run to the contract's, and from a submission to what the tree takes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use dspex_actors::{Caller, Column, DatasetSource, EnvironmentNeed, EvaluationRequest, ShippedRequest, Timing};
use dspex_api::v1::evaluation_spec::Dataset;
use dspex_api::v1::{self, EvaluationSpec, ModelUsage};
use dspex_api::{ApiError, Code, reason};
use dspex_model::{
    Digest, EXAMPLES_MAX, Name, REQUEST_WINDOW_MS, RequestId, Run, RunId, RunStatus, State, payload_of, quoted,
};
use tonic::Request;
use uuid::Uuid;

use crate::server::Principal;

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::invalid(reason::REQUEST_INVALID, message)
}

/// Who asks, for the audit trail, and what.
pub(super) fn actor<T>(request: Request<T>) -> (Option<String>, T) {
    let actor = request.extensions().get::<Principal>().map(|principal| principal.name.clone());
    (actor, request.into_inner())
}

/// The request id that every write carries.
pub(super) fn request_id(id: Option<v1::RequestId>) -> Result<RequestId, ApiError> {
    let id = id.ok_or_else(|| invalid("request_id is missing: every write carries one"))?;
    let parse =
        |text: &str| Uuid::try_parse(text).map_err(|_| invalid(format!("request_id: {} is not a UUID", quoted(text))));
    let request = parse(&id.request)?;
    // Its time is what the window of known requests is judged by.
    if request.get_version_num() != 7 {
        return Err(invalid(format!(
            "request_id.request: {request} must be a UUID of version 7, made for this request"
        )));
    }
    let id = RequestId { request: request.as_u128(), client: parse(&id.client)?.as_u128() };
    if id.made_ms() > wall_ms() + REQUEST_WINDOW_MS {
        return Err(invalid(format!(
            "request_id.request: {request} was made in the future: set this client's clock right"
        )));
    }
    Ok(id)
}

fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A run's id: whole.
pub(super) fn run_id(text: &str) -> Result<RunId, ApiError> {
    text.parse().map_err(|error| ApiError::invalid(reason::REQUEST_INVALID, format!("{}: {error}", quoted(text))))
}

/// A name that people choose. What is wrong with it is shown escaped: it may be made to deceive.
pub(super) fn name(text: &str) -> Result<Name, ApiError> {
    const SHOWN: usize = 64;
    Name::new(text).map_err(|error| {
        let cut = if text.len() > SHOWN { "..." } else { "" };
        let shown = text[..text.floor_char_boundary(SHOWN)].escape_default();
        ApiError::invalid(reason::NAME_INVALID, format!("\"{shown}{cut}\": {error}"))
    })
}

pub(super) fn caller(caller: Option<v1::Caller>) -> Result<Caller, ApiError> {
    let caller = caller.ok_or_else(|| invalid("caller is missing"))?;
    let directory = PathBuf::from(caller.directory);
    let interpreter = PathBuf::from(caller.interpreter);
    if !directory.is_absolute() || !interpreter.is_absolute() {
        return Err(invalid("caller.directory and caller.interpreter must be absolute paths"));
    }
    Ok(Caller {
        directory,
        environment: caller.environment.into_iter().collect(),
        interpreter,
        interpreter_reason: caller.interpreter_reason,
        placed: None,
    })
}

/// One whose machine is another: of it only the directory is told, and only to people.
pub(super) fn caller_elsewhere(given: Option<v1::Caller>) -> Result<Caller, ApiError> {
    let nowhere = "/".to_owned();
    caller(given.map(|caller| v1::Caller { interpreter: nowhere, ..caller }))
}

/// A project's digest; empty: there is none.
pub(super) fn bundle(text: &str) -> Result<Option<Digest>, ApiError> {
    let parsed = (!text.is_empty()).then(|| text.parse());
    parsed.transpose().map_err(|error| invalid(format!("bundle: {}: {error}", quoted(text))))
}

fn shipped(code: v1::ShippedCode) -> Result<ShippedRequest, ApiError> {
    let v1::ShippedCode { bundle: digest, directory, path, fingerprint, environment } = code;
    let need = fingerprint.map(|v1::Fingerprint { python, distributions }| EnvironmentNeed {
        python,
        distributions: distributions.into_iter().map(|one| (one.name, one.version)).collect(),
    });
    let environment = (!environment.is_empty()).then_some(environment);
    Ok(ShippedRequest { bundle: bundle(&digest)?, directory, path, need, environment })
}

pub(super) fn evaluation(spec: Option<EvaluationSpec>) -> Result<EvaluationRequest, ApiError> {
    let spec = spec.ok_or_else(|| invalid("evaluation is missing"))?;
    let settings =
        |settings: Vec<v1::Setting>| settings.into_iter().map(|setting| (setting.key, setting.value)).collect();
    let dataset = match spec.dataset {
        Some(Dataset::File(file)) => DatasetSource::File {
            digest: file.digest.parse().map_err(|error| invalid(format!("dataset: {error}")))?,
            name: file.name,
            examples: file.examples,
            columns: file
                .columns
                .into_iter()
                .map(|column| Column { name: column.name, first_row_without: column.first_row_without })
                .collect(),
            text_cells: file.text_cells,
            envelopes: file.envelopes,
        },
        Some(Dataset::PythonDataset(reference)) => DatasetSource::Python(reference),
        None => return Err(ApiError::invalid(reason::DATASET_MISSING, "dataset is missing")),
    };
    if let DatasetSource::File { examples, .. } = dataset
        && examples > EXAMPLES_MAX
    {
        let message = format!("a run has {EXAMPLES_MAX} examples at the most, this one would have {examples}");
        return Err(ApiError::new(Code::ResourceExhausted, reason::TOO_LARGE, message));
    }
    if matches!(dataset, DatasetSource::File { examples: 0, .. }) {
        let message = "devset must contain at least one example, got an empty devset.";
        return Err(ApiError::invalid(reason::DATASET_EMPTY, message));
    }
    if spec.failure_score.is_some_and(f64::is_nan) {
        return Err(invalid("failure_score must be a number"));
    }
    Ok(EvaluationRequest {
        program: spec.program,
        metric: spec.metric,
        lm: spec.lm,
        lm_settings: settings(spec.lm_settings),
        inputs: (!spec.inputs.is_empty()).then_some(spec.inputs),
        saved_state: spec.state,
        dataset,
        limit: spec.limit,
        num_threads: spec.num_threads,
        workers: spec.workers,
        timeout_ms: spec.timeout_ms,
        retries: spec.retries,
        max_errors: spec.max_errors,
        failure_score: spec.failure_score,
        environment: settings(spec.environment),
        environment_names: spec.environment_names,
        shipped: spec.shipped.map(shipped).transpose()?,
    })
}

/// A run as people and programs see it.
pub(super) fn run(state: &State, id: RunId, run: &Run, timing: Timing, now_ms: u64) -> v1::Run {
    let Run { spec, progress, .. } = run;
    let micros =
        |time: Option<std::time::Duration>| time.map_or(0, |time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    let usage: BTreeMap<String, ModelUsage> =
        progress.usage.iter().map(|(model, kinds)| (model.clone(), ModelUsage { tokens: kinds.clone() })).collect();
    v1::Run {
        run_id: id.to_string(),
        kind: "evaluation".to_owned(),
        status: status(progress.status).into(),
        examples: spec.dataset.examples,
        done: progress.done,
        failed: progress.failed,
        score: progress.score,
        score_sum: progress.score_sum,
        metric: spec.metric_name.clone(),
        program: if payload_of(&spec.program).is_some() { &spec.program_class } else { &spec.program }.clone(),
        dataset: spec.dataset.name.clone(),
        lm: spec.lm_answers.clone(),
        inputs: spec.inputs.clone(),
        created_unix_ms: progress.created_ms,
        ended_unix_ms: progress.ended_ms,
        duration_ms: run.executed_ms(now_ms.max(state.log_time_ms())),
        usage,
        cost_usd: (progress.unknown_costs == 0 && progress.done > 0).then(|| progress.cost_nanousd as f64 / 1e9),
        label: if progress.status == RunStatus::Finished { "complete" } else { "partial" }.to_owned(),
        digest: progress.digest.map(|digest| digest.to_string()),
        reason: progress.reason.clone(),
        num_threads: spec.num_threads,
        workers: spec.workers,
        interpreter: spec.interpreter.clone(),
        python: spec.python_version.clone(),
        dspy: spec.dspy_version.clone(),
        generation: progress.generation,
        epoch: progress.epoch,
        duplicates: progress.duplicates,
        weight: run.weight,
        execution_us: micros(timing.execution),
        startup_us: micros(timing.startup),
        directory: spec.directory.clone(),
        environment: spec.shipped.as_ref().map(|shipped| shipped.environment.clone()).unwrap_or_default(),
        bundle: spec
            .shipped
            .as_ref()
            .and_then(|shipped| shipped.bundle)
            .map(|digest| digest.to_string())
            .unwrap_or_default(),
        dataset_digest: spec.dataset.digest.to_string(),
    }
}

pub(super) fn status(status: RunStatus) -> v1::RunStatus {
    match status {
        RunStatus::Running => v1::RunStatus::Running,
        RunStatus::Finished => v1::RunStatus::Finished,
        RunStatus::Failed => v1::RunStatus::Failed,
        RunStatus::Cancelled => v1::RunStatus::Cancelled,
        RunStatus::Interrupted => v1::RunStatus::Interrupted,
        RunStatus::Paused => v1::RunStatus::Paused,
    }
}
