//! `dspex run list`.

use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, ValueEnum};
use dspex_api::v1::{ListRunsRequest, Run, RunStatus};
use serde_json::Value;

use crate::error::CommandError;
use crate::exit;
use crate::invocation::Invocation;
use crate::listing::Listing;
use crate::result;

/// The arguments of `dspex run list`.
#[derive(Debug, Default, Args)]
pub struct Options {
    /// All runs, not only the newest 100
    #[arg(long)]
    all: bool,
    /// Only runs of these statuses
    #[arg(long, value_enum, value_delimiter = ',')]
    status: Vec<Status>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Status {
    Running,
    Finished,
    Failed,
    Cancelled,
    Interrupted,
    Paused,
}

/// Prints the runs.
pub async fn execute(invocation: &Invocation, options: Options) -> Result<u8, CommandError> {
    let request = ListRunsRequest {
        all: options.all,
        status: options.status.iter().map(|status| wire(*status).into()).collect(),
    };
    let answer = invocation.node().await?.list_runs(request).await?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
    // The counts are of all runs.
    let wanted = |name: &str| {
        options.status.is_empty() || options.status.iter().any(|status| result::status_name(wire(*status)) == name)
    };
    let matching = answer.counts.iter().filter(|(name, _)| wanted(name));
    let total = matching.map(|(_, count)| u64::from(*count)).sum();
    let listing = Listing {
        items: answer.items.iter().map(result::run).collect(),
        counts: answer.counts.into_iter().map(|(name, count)| (name, Value::from(count))).collect(),
        truncated: answer.truncated,
        total: Some(total),
        header: vec!["RUN", "STATUS", "SCORE", "EXAMPLES", "FAILED", "AGE", "PROGRAM"],
        rows: answer.items.iter().map(|run| row(run, now)).collect(),
    };
    listing.print(invocation.format, &invocation.console)?;
    Ok(exit::OK)
}

fn wire(status: Status) -> RunStatus {
    match status {
        Status::Running => RunStatus::Running,
        Status::Finished => RunStatus::Finished,
        Status::Failed => RunStatus::Failed,
        Status::Cancelled => RunStatus::Cancelled,
        Status::Interrupted => RunStatus::Interrupted,
        Status::Paused => RunStatus::Paused,
    }
}

fn row(run: &Run, now: u64) -> Vec<String> {
    vec![
        run.run_id.clone(),
        result::status_name(run.status()).to_owned(),
        run.score.map_or_else(String::new, |score| score.to_string()),
        match run.done == run.examples {
            true => run.examples.to_string(),
            false => format!("{}/{}", run.done, run.examples),
        },
        run.failed.to_string(),
        age(now.saturating_sub(run.created_unix_ms)),
        run.program.clone(),
    ]
}

fn age(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short() {
        assert_eq!([age(5_000), age(600_000), age(7_200_000), age(864_000_000)], ["5 s", "10 min", "2 h", "10 d"]);
    }
}
