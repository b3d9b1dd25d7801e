//! `dspex execution list`.

use clap::Args;
use dspex_api::v1::{Execution, ExecutionStatus, ListExecutionsRequest};
use serde_json::Value;

use super::{Status, object, status_name};
use crate::arguments::identifier;
use crate::dates::date;
use crate::error::CommandError;
use crate::exit;
use crate::freshness::Freshness;
use crate::invocation::Invocation;
use crate::listing::{Listing, PAGE, PAGE_OF_ALL};
use crate::moment::moment;
use crate::output::{self, Format};

/// The arguments of `dspex execution list`.
#[derive(Debug, Default, Args)]
pub struct Options {
    /// Only of this program or command
    #[arg(long, value_parser = identifier)]
    program: Option<String>,
    /// Only those that ended so
    #[arg(long, value_enum)]
    status: Option<Status>,
    /// Only of this session
    #[arg(long, value_parser = identifier)]
    session: Option<String>,
    /// Only since then: 90s, 30m, 2h or 7d ago, or a date like 2026-11-22T10:00:00Z
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    since: Option<u64>,
    /// Only before then
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    until: Option<u64>,
    /// With inputs and outputs; what is large is named only
    #[arg(long)]
    values: bool,
    /// All of them, not the newest 100
    #[arg(long)]
    all: bool,
    /// How fresh the answer must be
    #[arg(long, value_enum, default_value_t = Freshness::Linearizable)]
    read: Freshness,
}

impl Options {
    fn request(&self) -> ListExecutionsRequest {
        ListExecutionsRequest {
            before: 0,
            limit: self.wanted(0),
            program: self.program.clone().unwrap_or_default(),
            status: self.status.map_or(ExecutionStatus::Unspecified, Status::wire).into(),
            session_id: self.session.clone().unwrap_or_default(),
            since_ms: self.since,
            until_ms: self.until,
            values: self.values,
            freshness: self.read.wire().into(),
        }
    }

    /// How many more are wanted.
    fn wanted(&self, shown: usize) -> u32 {
        if self.all { PAGE_OF_ALL } else { PAGE.saturating_sub(u32::try_from(shown).unwrap_or(u32::MAX)) }
    }

    /// Whether executions are left out that are kept.
    fn chooses(&self) -> bool {
        let texts = self.program.is_some() || self.session.is_some();
        texts || self.status.is_some() || self.since.is_some() || self.until.is_some()
    }
}

/// Prints the executions.
pub async fn execute(invocation: &Invocation, options: Options) -> Result<u8, CommandError> {
    let client = invocation.node().await?;
    let mut request = options.request();
    // A million lines need not wait for each other in memory.
    let flows = options.all && invocation.format == Format::Jsonl;
    let mut listing = Listing::default();
    loop {
        let page = client.list_executions(request.clone()).await.map_err(|error| options.read.refusal(error))?;
        let shown = page.items.iter().map(|execution| object(execution, options.values));
        if flows {
            output::text(&shown.map(|item| item.json() + "\n").collect::<String>())?;
        } else {
            listing.items.0.extend(shown);
            listing.rows.extend(page.items.iter().map(row));
        }
        listing.counts = page.counts.into_iter().map(|(name, count)| (name, Value::from(count))).collect();
        // A page may be short, and have one behind it.
        (request.before, request.limit) = (page.next, options.wanted(listing.items.0.len()));
        if page.next == 0 || request.limit == 0 {
            break;
        }
    }
    if !flows {
        listing.truncated = request.before > 0;
        // Of those that are chosen nobody counts all.
        let total = listing.counts.values().filter_map(Value::as_u64).sum();
        listing.total = (!options.chooses()).then_some(total);
        listing.header = vec!["EXECUTION", "STATUS", "PROGRAM", "SESSION", "DURATION", "CREATED"];
        listing.print(invocation.format, &invocation.console)?;
    }
    Ok(exit::OK)
}

fn row(execution: &Execution) -> Vec<String> {
    vec![
        execution.execution_id.clone(),
        status_name(execution).to_owned(),
        execution.program.clone(),
        execution.session_id.clone(),
        duration(execution.duration_us),
        date(execution.created_ms),
    ]
}

fn duration(microseconds: u64) -> String {
    match microseconds {
        0..1000 => format!("{microseconds} us"),
        1000..1_000_000 => format!("{:.1} ms", microseconds as f64 / 1e3),
        _ => format!("{:.1} s", microseconds as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        assert_eq!([duration(7), duration(1500), duration(90_000_000)], ["7 us", "1.5 ms", "90.0 s"]);
    }

    #[test]
    fn a_short_page_is_followed_until_there_are_as_many_as_are_shown() {
        let some = Options::default();
        assert_eq!([some.wanted(0), some.wanted(3), some.wanted(100), some.wanted(usize::MAX)], [100, 97, 0, 0]);
        let all = Options { all: true, ..Options::default() };
        assert_eq!(all.wanted(5000), PAGE_OF_ALL);
    }

    #[test]
    fn who_asks_for_some_is_not_told_how_many_there_are_of_all() {
        assert!(!Options::default().chooses());
        assert!(Options { status: Some(Status::Failed), ..Options::default() }.chooses());
        assert!(Options { since: Some(1), ..Options::default() }.chooses());
        let request = Options { all: true, program: Some("qa".to_owned()), ..Options::default() }.request();
        assert_eq!((request.limit, request.program.as_str()), (PAGE_OF_ALL, "qa"));
    }
}
