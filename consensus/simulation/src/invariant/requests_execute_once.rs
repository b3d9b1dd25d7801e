//! A write that was sent again, because nobody knew what had become of it, is executed once. Each write of a client carries a
//! token of its own as its actor; wherever the log holds the token again, the outcome is that of the first time.

use super::Invariant;
use crate::committed::Committed;
use crate::observer::Seen;

#[derive(Default)]
pub(crate) struct RequestsExecuteOnce;

impl Invariant for RequestsExecuteOnce {
    fn name(&self) -> &'static str {
        "requests_execute_once"
    }

    fn see(&mut self, seen: &Seen<'_>, committed: &Committed) -> Result<(), String> {
        let Seen::Committed { index } = seen else { return Ok(()) };
        let Some(entry) = committed.at(*index) else { return Ok(()) };
        let Some(token) = entry.proposal.as_ref().and_then(|proposal| proposal.actor.as_deref()) else { return Ok(()) };
        match committed.first_of(token) {
            Some((first, known)) if known.outcome != entry.outcome => Err(format!(
                "{token} was executed at {first} ({:?}) and again at {index} ({:?})",
                known.outcome, entry.outcome
            )),
            _ => Ok(()),
        }
    }
}
