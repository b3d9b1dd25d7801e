//! What came of a scenario, as a person reads it.

use std::fmt;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::time::Duration;

use crate::Counts;
use crate::finding::Finding;
use crate::schedule::Schedule;
use crate::stage::Landed;
use crate::traffic::Recording;

/// All that is known after a scenario.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its name.
    pub scenario: &'static str,
    /// What was to break.
    pub schedule: Schedule,
    /// What truly broke.
    pub landed: Landed,
    /// What did not, and why.
    pub not_landed: Vec<String>,
    /// What was wrong with how nodes bore a fault, or could not be put back.
    pub wrong: Vec<String>,
    /// The promises.
    pub findings: Vec<Finding>,
    /// Operations by what came of them.
    pub counts: Counts,
    /// What clients learned.
    pub recording: Recording,
    /// The whole of it.
    pub took: Duration,
}

impl Report {
    /// Whether everything was as promised, and something was tested.
    pub fn is_green(&self) -> bool {
        self.wrong.is_empty()
            && self.not_landed.is_empty()
            && self.landed.total() > 0
            && self.findings.iter().all(Finding::is_kept)
    }

    /// Whether a promise of this name was broken.
    pub fn is_broken(&self, promise: &str) -> bool {
        self.findings.iter().any(|finding| finding.promise == promise && !finding.is_kept())
    }

    /// Writes the history to a file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep_history(&self, path: &Path) -> std::io::Result<()> {
        self.recording.history.write_lines(BufWriter::new(File::create(path)?))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.is_green() { "green" } else { "RED" };
        writeln!(f, "{} (seed {}): {verdict} in {:.1} s", self.scenario, self.schedule.seed, self.took.as_secs_f64())?;
        writeln!(f, "  faults: {}", self.landed)?;
        if !self.recording.history.operations().is_empty() {
            writeln!(f, "  traffic: {}", self.counts)?;
        }
        for why in &self.not_landed {
            writeln!(f, "  DID NOT LAND  {why}")?;
        }
        for wrong in &self.wrong {
            writeln!(f, "  WRONG   {wrong}")?;
        }
        for finding in &self.findings {
            writeln!(f, "  {finding}")?;
        }
        if !self.is_green() {
            writeln!(f, "  {}", self.schedule)?;
        }
        Ok(())
    }
}
