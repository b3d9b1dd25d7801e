//! What a caller asks for, as plain data.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use dspex_model::{Digest, RunId, Shipped};

use crate::bundles::Bundle;
use crate::environments::EnvironmentNeed;
use crate::proposing::By;

/// What only the caller can hand over. Held in memory while the run executes, never stored.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Workers start in it.
    pub directory: PathBuf,
    /// The caller's whole environment.
    pub environment: BTreeMap<String, String>,
    /// The Python to use.
    pub interpreter: PathBuf,
    /// Why that one.
    pub interpreter_reason: String,
    /// Of a run whose code was sent along; directory and interpreter are this node's then.
    pub placed: Option<Placed>,
}

/// Where code that was sent along lies on this node.
#[derive(Clone, Debug)]
pub struct Placed {
    /// The project: it stays where it is while somebody has this.
    pub(crate) bundle: Option<Arc<Bundle>>,
    /// Whole paths of what is imported from.
    pub(crate) path: Vec<String>,
    /// The caller's own directory, on the caller's machine.
    pub(crate) from: PathBuf,
    /// What is stored of it.
    pub(crate) shipped: Shipped,
}

/// Code that was sent along, and the environment that it needs.
#[derive(Clone, Debug)]
pub struct ShippedRequest {
    /// The project's blob.
    pub bundle: Option<Digest>,
    /// Where workers start, from the project's root.
    pub directory: String,
    /// What is imported from, from the project's root.
    pub path: Vec<String>,
    /// What the environment must have.
    pub need: Option<EnvironmentNeed>,
    /// This environment, whatever it has.
    pub environment: Option<String>,
}

impl Caller {
    /// What the workers of a run get: the caller's environment, on a node with one of its own (`own`) that instead, and
    /// `--env NAME=V` on top. A caller's secrets do not enter a node that others use.
    pub(crate) fn admitted(mut self, own: Option<&Self>, stored: &[(String, String)]) -> Self {
        if let Some(own) = own {
            self.environment.clone_from(&own.environment);
        }
        self.environment.extend(stored.iter().cloned());
        self
    }
}

/// `--env NAME`: what is missing where the program executes, as the caller should read it.
pub(crate) fn missing_variable(
    environment: &BTreeMap<String, String>,
    names: &[String],
    of_node: bool,
) -> Option<String> {
    let missing = names.iter().find(|name| !environment.contains_key(*name))?;
    Some(if of_node {
        format!(
            "--env {missing}: the node does not give {missing} to its workers: set it where the node starts, and name it in \
             python.environment of its file (dspex dev --env {missing} does both); or give it a value here, --env {missing}=VALUE"
        )
    } else {
        format!("--env {missing}: {missing} is not set in your environment")
    })
}

/// An evaluation as it was asked for; `None` where the default holds.
#[derive(Clone, Debug)]
pub struct EvaluationRequest {
    /// "path.py:name" or "module:name".
    pub program: String,
    /// The metric's reference.
    pub metric: String,
    /// `--lm`.
    pub lm: Option<String>,
    /// Key and JSON text.
    pub lm_settings: Vec<(String, String)>,
    /// `--inputs`.
    pub inputs: Option<Vec<String>>,
    /// `--load`.
    pub saved_state: Option<String>,
    /// The examples.
    pub dataset: DatasetSource,
    /// The first so many of a Python dataset.
    pub limit: Option<u32>,
    /// Examples in flight.
    pub num_threads: Option<u32>,
    /// Python processes.
    pub workers: Option<u32>,
    /// Deadline of one example.
    pub timeout_ms: Option<u64>,
    /// Executions after a charged death.
    pub retries: Option<u32>,
    /// Errors that end the run.
    pub max_errors: Option<u32>,
    /// Score of a failed example.
    pub failure_score: Option<f64>,
    /// `--env NAME=V`.
    pub environment: Vec<(String, String)>,
    /// `--env NAME`.
    pub environment_names: Vec<String>,
    /// For a node that does not share the caller's file system.
    pub shipped: Option<ShippedRequest>,
}

/// Where the examples come from.
#[derive(Clone, Debug)]
pub enum DatasetSource {
    /// Rows that the caller uploaded as a blob.
    File {
        /// The blob.
        digest: Digest,
        /// The name shown to people.
        name: String,
        /// How many rows.
        examples: u32,
        /// The columns.
        columns: Vec<Column>,
        /// Cells are text (CSV).
        text_cells: bool,
        /// The rows say themselves what their inputs are: those of a driver's payload.
        envelopes: bool,
    },
    /// "path.py:name".
    Python(String),
}

/// A column of a file dataset.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// The line where it is missing first; 0 = in every row.
    pub first_row_without: u64,
}

/// A submission.
#[derive(Clone, Debug)]
pub struct SubmitRequest {
    /// On whose behalf.
    pub by: By,
    /// When it came in.
    pub received: Instant,
    /// Who asks.
    pub caller: Caller,
    /// For what.
    pub evaluation: EvaluationRequest,
    /// Goes on without its driver.
    pub detach: bool,
    /// Continue an unfinished run with an equal specification.
    pub resume: bool,
    /// W3C trace context of the caller.
    pub traceparent: Option<String>,
}

/// A resume, or a retry, by id.
#[derive(Clone, Debug)]
pub struct ResumeRequest {
    /// On whose behalf.
    pub by: By,
    /// When it came in.
    pub received: Instant,
    /// Who asks.
    pub caller: Caller,
    /// Which run.
    pub run: RunId,
    /// A retry: what has failed is executed once more, whether or not the run came to its end.
    pub failed: bool,
    /// The project as it is now, where the caller says so.
    pub bundle: Option<Digest>,
    /// Goes on without its driver.
    pub detach: bool,
    /// W3C trace context of the caller.
    pub traceparent: Option<String>,
}

/// A run that was started, continued, or found running.
#[derive(Clone, Debug)]
pub struct Submitted {
    /// Its id.
    pub run: RunId,
    /// It existed before.
    pub resumed: bool,
    /// What a person wants to know.
    pub notes: Vec<String>,
}
