//! `dspex-chaos check`: a history that was kept, judged again.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use dspex_chaos::promise::{linearizable, versions_rise};
use dspex_chaos::{Finding, History};

use super::say;

/// True where no promise is broken.
pub fn run(path: &Path) -> Result<bool, String> {
    let unreadable = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let file = File::open(path).map_err(|error| unreadable(&error))?;
    let history = History::read_lines(BufReader::new(file)).map_err(|error| unreadable(&error))?;
    say(&history.counts().to_string());
    // Final reads are reads: a lost write is one that no order explains.
    let findings = [linearizable::check(&history), versions_rise::check(&history)];
    findings.iter().for_each(|finding| say(&finding.to_string()));
    Ok(findings.iter().all(Finding::is_kept))
}
