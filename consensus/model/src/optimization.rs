//! What an optimization of a program gave: which optimizer, with what, how good, and the version that it made.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Digest;

/// Optimizations that are kept of a program; the oldest goes with each new one.
pub const OPTIMIZATIONS_MAX: usize = 100;

/// Bytes of an optimizer's name.
pub const OPTIMIZER_TYPE_BYTES_MAX: usize = 50;

/// Bytes of parameters and metrics together.
pub const OPTIMIZATION_BYTES_MAX: usize = 16 * 1024;

/// What one takes beside its texts, about.
const RECORD_BYTES: u64 = 192;

/// One optimization. A UUID.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OptimizationId(pub u128);

impl fmt::Display for OptimizationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_u128(self.0).fmt(f)
    }
}

impl fmt::Debug for OptimizationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The text is not a UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an optimization's id is a UUID like 019a9c3e-7d52-7c11-b0c4-6f0e6d1c2b3a")]
pub struct ParseOptimizationIdError;

impl FromStr for OptimizationId {
    type Err = ParseOptimizationIdError;

    fn from_str(text: &str) -> Result<Self, ParseOptimizationIdError> {
        Uuid::try_parse(text).map(|uuid| Self(uuid.as_u128())).map_err(|_| ParseOptimizationIdError)
    }
}

/// The result of an optimization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Optimization {
    /// Its id.
    pub id: OptimizationId,
    /// "MIPROv2", "BootstrapFewShot".
    pub optimizer_type: String,
    /// JSON of what the optimizer was given. Checked where it comes in, and opaque here.
    pub parameters: String,
    /// JSON of what was measured.
    pub performance_metrics: String,
    /// Of the training data.
    pub training_data: Option<Digest>,
    /// The program's version that it made.
    pub program_version: u64,
    /// Log time at which it was recorded.
    pub created_ms: u64,
    /// Who recorded it.
    pub recorded_by: String,
}

impl Optimization {
    /// Bytes of its parameters and metrics.
    pub fn bytes(&self) -> usize {
        self.parameters.len() + self.performance_metrics.len()
    }

    /// What it counts for in [`crate::PROGRAMS_TOTAL_BYTES_MAX`].
    pub(crate) fn weight(&self) -> u64 {
        RECORD_BYTES + self.bytes() as u64
    }
}
