//! From options to the specification of an evaluation; uploads the dataset on the way.

use std::path::Path;

use dspex_api::v1::{EvaluationSpec, evaluation_spec};
use dspex_api::{Client, reason};

use super::options::{Checked, Options};
use crate::dataset::{self, Source};
use crate::error::CommandError;
use crate::project::Sent;

/// Builds the specification. A file's `--limit` is applied here: what is uploaded is what is evaluated.
pub async fn of(
    client: &Client,
    options: &Options,
    checked: Checked,
    sent: Option<Sent>,
) -> Result<EvaluationSpec, CommandError> {
    if let Some(state) = &options.load
        && !Path::new(state).is_file()
    {
        return Err(CommandError::because(reason::STATE_MISSING, format!("there is no state {state} (--load)")));
    }
    let (dataset, limit) = match checked.source {
        Source::File(path, kind) => {
            let file = dataset::upload(client, path, kind, options.limit).await?;
            (evaluation_spec::Dataset::File(file), None)
        }
        Source::Python(name) => (evaluation_spec::Dataset::PythonDataset(name), options.limit),
    };
    let spec = EvaluationSpec {
        program: checked.program,
        metric: checked.metric,
        lm: options.lm.clone(),
        lm_settings: options.lm_set.clone(),
        inputs: options.inputs.clone(),
        state: options.load.clone(),
        dataset: Some(dataset),
        limit,
        num_threads: options.num_threads,
        workers: options.workers,
        // A limit below a millisecond is still a limit.
        timeout_ms: options.timeout.map(|limit| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX).max(1)),
        retries: options.retries,
        max_errors: options.max_errors,
        failure_score: options.failure_score,
        environment: checked.environment,
        environment_names: checked.environment_names,
        shipped: None,
    };
    Ok(match sent {
        Some(sent) => there(spec, sent),
        None => spec,
    })
}

/// As it is meant on a node that does not share this machine's file system.
fn there(spec: EvaluationSpec, sent: Sent) -> EvaluationSpec {
    let Sent { shipped, program, metric, lm, state, dataset, .. } = sent;
    EvaluationSpec {
        program,
        metric,
        lm,
        state,
        dataset: dataset.map(evaluation_spec::Dataset::PythonDataset).or(spec.dataset),
        shipped: Some(shipped),
        ..spec
    }
}
