//! Runs are named by their id or by its beginning, where only one run has it.

use dspex_api::v1::ListRunsRequest;
use dspex_api::{Client, reason};
use uuid::Uuid;

use crate::echo::quoted;
use crate::error::CommandError;

/// The length of a UUID: nothing is looked up for a whole id.
const WHOLE: usize = 36;
const CANDIDATES_SHOWN: usize = 10;

/// The id that `text` stands for.
pub async fn resolve(client: &Client, text: &str) -> Result<String, CommandError> {
    if is_whole(text) {
        return Ok(text.to_owned());
    }
    let request = ListRunsRequest { all: true, ..ListRunsRequest::default() };
    let runs = client.list_runs(request).await?.items;
    choose(text, runs.iter().map(|run| run.run_id.as_str()))
}

/// Anything else of that length is no id, and the list of the runs says so as of a shorter text.
fn is_whole(text: &str) -> bool {
    text.len() >= WHOLE && Uuid::try_parse(text).is_ok()
}

fn choose<'a>(text: &str, ids: impl Iterator<Item = &'a str>) -> Result<String, CommandError> {
    let wanted = text.to_ascii_lowercase();
    let candidates: Vec<&str> = ids.filter(|id| !wanted.is_empty() && id.starts_with(&wanted)).collect();
    match candidates.as_slice() {
        [] => Err(CommandError::because(reason::RUN_NOT_FOUND, format!("there is no run {}", quoted(text)))),
        [one] => Ok((*one).to_owned()),
        several => {
            let mut lines: Vec<&str> = several.iter().copied().take(CANDIDATES_SHOWN).collect();
            if several.len() > CANDIDATES_SHOWN {
                lines.push("...");
            }
            let message = format!("{} runs start with {}:\n  {}", several.len(), quoted(text), lines.join("\n  "));
            Err(CommandError::because(reason::RUN_AMBIGUOUS, message).hint(
                "write more of it: an id begins with the time, and 13 characters tell runs apart to the millisecond",
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: [&str; 3] = ["0198a1-x", "0198a2-y", "0198b"];

    #[test]
    fn a_unique_beginning_is_enough() {
        assert_eq!(choose("0198B", IDS.into_iter()), Ok("0198b".into()));
        assert_eq!(choose("0198a1", IDS.into_iter()), Ok("0198a1-x".into()));
    }

    #[test]
    fn only_an_id_is_not_looked_up() {
        assert!(is_whole("01a1fda7-bbcf-74b1-98d4-af430aaf3942"));
        for other in ["01a1fda7-bbcf", "01a1fda7-bbcf-74b1-98d4-af430aaf394g", &"x".repeat(100)] {
            assert!(!is_whole(other), "{other}");
        }
    }

    #[test]
    fn anything_else_lists_the_candidates() {
        let error = choose("0198a", IDS.into_iter()).expect_err("two");
        assert!(error.exit == 5 && error.message.contains("0198a1-x") && !error.message.contains("0198b"));
        assert!(error.hint.is_some_and(|hint| hint.contains("write more of it")));
        assert_eq!(choose("", IDS.into_iter()).expect_err("none").exit, 5);
        assert_eq!(choose("7", IDS.into_iter()).expect_err("none").reason, reason::RUN_NOT_FOUND);
    }
}
