//! `[runs]`: what runs may have of this node.

use dspex_actors::RunLimits;
use serde::Deserialize;

/// What is set; the rest has its default.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RunsSection {
    workers_max: Option<u32>,
    workers_per_run_max: Option<u32>,
    threads_per_run_max: Option<u32>,
}

impl RunsSection {
    pub(super) fn limits(self) -> RunLimits {
        let default = RunLimits::DEFAULT;
        let workers_max = self.workers_max.unwrap_or(default.workers_max);
        RunLimits {
            workers_max,
            workers_per_run_max: self.workers_per_run_max.unwrap_or(workers_max),
            threads_per_run_max: self.threads_per_run_max.unwrap_or(default.threads_per_run_max),
        }
    }
}
