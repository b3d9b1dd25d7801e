//! What a worker is told to load, and what it says about it.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What a worker serves: one program with its metric, LM and settings. Exactly once, as the first frame.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Load {
    /// Examples in flight at once.
    pub threads: u32,
    /// "path.py:name" or "module:name".
    pub program: String,
    /// As the program, or "name" for one in PROGRAM's file. `None`: only the program is wanted.
    pub metric: Option<String>,
    /// A model string, "path.py:name" or "module:name".
    pub lm: Option<String>,
    /// `--lm-set`: keys and values as JSON text.
    pub lm_settings: Vec<(String, String)>,
    /// `--load`: a file saved by `program.save`.
    pub state: Option<String>,
    /// `--inputs`.
    pub inputs: Option<Vec<String>>,
    /// The columns of a dataset that is a file.
    pub columns: Option<Vec<String>>,
    /// A Python dataset whose rows are to be sent.
    pub dataset: Option<String>,
    /// At most so many rows of it.
    pub limit: Option<u64>,
    /// Cells are text (CSV): convert where the signature types the field.
    pub text_cells: bool,
    /// The score recorded for a failed example.
    pub failure_score: Number,
    /// What a driver has shipped: then `program` and `metric` are names for people.
    pub payload: Option<Bytes>,
    /// Of a run whose code was sent along: where its project was unpacked. Its files are told from there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// The same: whole paths of what is imported from besides the environment's own, and nothing of the driver's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<Vec<String>>,
    /// This side's version, [`PROTOCOL_VERSION`](super::PROTOCOL_VERSION): a load is the first frame that a worker sees.
    pub protocol: u32,
}

/// A number as Python sees it: whether it is an int or a float is part of DSPy's arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Number {
    /// An int.
    Integer(i64),
    /// A float.
    Float(f64),
}

/// What was loaded.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Loaded {
    /// The program's class.
    pub program: String,
    /// DSPy's name of the metric.
    pub metric: String,
    /// The fields that are inputs.
    pub inputs: Vec<String>,
    /// What decided them.
    pub inputs_from: InputsFrom,
    /// The columns of a Python dataset.
    pub columns: Option<Vec<String>>,
    /// What answers: "openai/gpt-4o-mini (--lm)", "program's own", "none".
    pub lm: String,
    /// What the user should know.
    pub notes: Vec<String>,
    /// `dspy.settings.max_errors` after loading.
    pub max_errors: i64,
    /// `dspy.settings.num_threads` after loading.
    pub num_threads: i64,
    /// Sha256 of each file of the user's that was loaded, by absolute path; in a project that was sent along from its root.
    pub sources: BTreeMap<String, String>,
}

/// What decided which fields are inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputsFrom {
    /// `--inputs`.
    Option,
    /// `with_inputs` on the dataset's examples.
    Dataset,
    /// The parameters of `forward`.
    Forward,
    /// The signature's input fields.
    Signature,
}

/// Why it could not be loaded.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LoadFailed {
    /// The class of reason.
    pub kind: LoadFailedKind,
    /// Says what to do.
    pub message: String,
    /// The user's frames, when user code raised.
    pub traceback: Option<String>,
    /// Where.
    pub file: Option<String>,
    /// Where in it.
    pub line: Option<u64>,
}

/// Classes of reasons for which nothing could be loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the protocol's and say it all")]
pub enum LoadFailedKind {
    ProgramMissing,
    NameMissing,
    NotAProgram,
    ProgramRaised,
    EvaluatesAtImport,
    MetricMissing,
    MetricInvalid,
    LmMissing,
    LmInvalid,
    DatasetMissing,
    DatasetInvalid,
    DatasetEmpty,
    InputsMissing,
    StateMissing,
    StateInvalid,
    Arguments,
}
