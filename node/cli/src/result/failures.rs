//! Failed examples, grouped by exception and place: 5,000 times the same mistake is one thing to mend.

use std::collections::HashMap;

use dspex_api::Client;
use dspex_api::v1::{ExampleResult, RunResultsRequest};

use crate::error::CommandError;

/// More groups than this are counted only.
const GROUPS_SHOWN: usize = 5;
/// Beyond this many different places the rest is one group, so that memory stays bounded.
const GROUPS_KEPT: usize = 1000;

/// The failures of a run.
#[derive(Debug, Default)]
pub struct Failures {
    groups: Vec<Group>,
    index: HashMap<Place, usize>,
    beyond: u32,
}

/// Exception, file and line; a failure without a place (a lost worker) is told by its message instead.
type Place = (String, String, u32);

#[derive(Debug)]
struct Group {
    count: u32,
    first: ExampleResult,
}

impl Failures {
    /// Reads the failures of a run.
    pub async fn of(client: &Client, run_id: &str) -> Result<Self, CommandError> {
        let request = RunResultsRequest {
            run_id: run_id.to_owned(),
            failed_only: true,
            full: false,
            ..RunResultsRequest::default()
        };
        let mut failures = Self::default();
        super::for_each(client, request, |result| {
            failures.add(result);
            Ok(true)
        })
        .await?;
        Ok(failures)
    }

    fn add(&mut self, result: ExampleResult) {
        let Some(failure) = &result.failure else {
            return;
        };
        let place = if failure.file.is_empty() { cause(&failure.message) } else { &failure.file };
        let key = (failure.r#type.clone(), place.to_owned(), failure.line);
        if let Some(&position) = self.index.get(&key) {
            self.groups[position].count += 1;
        } else if self.groups.len() < GROUPS_KEPT {
            self.index.insert(key, self.groups.len());
            self.groups.push(Group { count: 1, first: result });
        } else {
            self.beyond += 1;
        }
    }

    /// The largest groups, each with its first example's traceback; empty when nothing failed.
    pub fn text(&self) -> String {
        let mut groups: Vec<&Group> = self.groups.iter().collect();
        groups.sort_by_key(|group| (std::cmp::Reverse(group.count), group.first.index));
        let mut text: String = groups.iter().take(GROUPS_SHOWN).map(|group| describe(group)).collect();
        let hidden = &groups[groups.len().min(GROUPS_SHOWN)..];
        let more = hidden.iter().map(|group| group.count).sum::<u32>() + self.beyond;
        if more > 0 {
            text.push_str(&format!("\nand {more} more in {} other places\n", hidden.len().max(1)));
        }
        text
    }
}

/// The message without what differs from example to example.
fn cause(message: &str) -> &str {
    let line = message.trim().lines().next().unwrap_or_default();
    line.split("; ").next().unwrap_or(line)
}

fn describe(group: &Group) -> String {
    let Some(failure) = &group.first.failure else {
        return String::new();
    };
    let place = match failure.file.as_str() {
        "" => String::new(),
        file => format!(" at {file}:{}", failure.line),
    };
    let message = failure.message.trim().lines().next().unwrap_or_default();
    let mut text =
        format!("\n{} x {}{place}: {message}\n    first: example {}", group.count, failure.r#type, group.first.index);
    if !failure.worker.is_empty() {
        text.push_str(&format!(", worker {}, node {}", failure.worker, failure.node));
    }
    text.push('\n');
    // Mostly the traceback ends with the whole message; what a node adds to it stands in the message alone.
    let rest: String = failure.message.trim().lines().skip(1).map(|line| format!("{line}\n")).collect();
    let added = if failure.traceback.contains(rest.trim()) { "" } else { rest.as_str() };
    for block in [failure.traceback.as_str(), added, failure.output_tail.as_str()] {
        for line in block.trim_end().lines() {
            text.push_str(&format!("    {line}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use dspex_api::v1::Failure;

    use super::*;

    fn failure(index: u32, kind: &str, line: u32) -> ExampleResult {
        ExampleResult {
            index,
            failure: Some(Failure {
                r#type: kind.into(),
                message: format!("example {index} is bad\nsecond line"),
                traceback: "Traceback:\n  here".into(),
                file: "qa.py".into(),
                line,
                ..Failure::default()
            }),
            ..ExampleResult::default()
        }
    }

    #[test]
    fn the_same_mistake_is_shown_once() {
        let mut failures = Failures::default();
        for index in 0..7 {
            failures.add(failure(index, "ValueError", 3));
        }
        failures.add(failure(7, "KeyError", 9));
        let text = failures.text();
        assert!(text.contains("7 x ValueError at qa.py:3: example 0 is bad\n"), "{text}");
        assert!(text.contains("1 x KeyError at qa.py:9"), "{text}");
        assert_eq!(text.matches("Traceback:").count(), 2);
        assert_eq!(text.matches("\n    second line\n").count(), 2, "{text}");
        assert!(text.find("ValueError") < text.find("KeyError"));
    }

    #[test]
    fn lost_workers_are_grouped_by_how_they_ended() {
        let mut failures = Failures::default();
        for (index, end) in [(0, "exited with code 3"), (1, "exited with code 3"), (2, "was ended by signal 9")] {
            let failure = Failure {
                r#type: "WorkerLost".into(),
                message: format!("the worker {end}; attempt {} of this example", index + 1),
                ..Failure::default()
            };
            failures.add(ExampleResult { index, failure: Some(failure), ..ExampleResult::default() });
        }
        let text = failures.text();
        assert!(text.contains("2 x WorkerLost: the worker exited with code 3"), "{text}");
        assert!(text.contains("1 x WorkerLost: the worker was ended by signal 9"), "{text}");
    }

    #[test]
    fn many_places_are_counted() {
        let mut failures = Failures::default();
        for line in 0..(GROUPS_KEPT as u32 + 10) {
            failures.add(failure(line, "E", line));
        }
        let shown = GROUPS_SHOWN as u32;
        let expected = format!("and {} more", GROUPS_KEPT as u32 + 10 - shown);
        assert!(failures.text().contains(&expected), "{}", failures.text());
        assert_eq!(Failures::default().text(), "");
    }
}
