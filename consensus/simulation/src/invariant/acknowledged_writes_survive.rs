//! A write that a client has an outcome of is committed, after everything that was visible when it began, and with that very
//! outcome. Committed entries survive, so it does.

use super::Invariant;
use crate::committed::Committed;
use crate::observer::Seen;

#[derive(Default)]
pub(crate) struct AcknowledgedWritesSurvive;

impl Invariant for AcknowledgedWritesSurvive {
    fn name(&self) -> &'static str {
        "acknowledged_writes_survive"
    }

    fn see(&mut self, seen: &Seen<'_>, committed: &Committed) -> Result<(), String> {
        let Seen::Acknowledged { token, visible, outcome } = seen else { return Ok(()) };
        let Some((index, entry)) = committed.first_of(token) else {
            return Err(format!("{token} was acknowledged and is in no log"));
        };
        if entry.outcome.as_ref() != Some(*outcome) {
            return Err(format!("{token} was answered {outcome:?}, and entry {index} says {:?}", entry.outcome));
        }
        if index <= *visible {
            return Err(format!("{token} was executed at {index}, when {visible} was visible before it began"));
        }
        Ok(())
    }
}
