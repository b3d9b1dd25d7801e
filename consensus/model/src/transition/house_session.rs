//! A node takes a session's executions over: the first that is asked, and another one when that is lost.

use crate::record::Record;
use crate::state::Decision;
use crate::{NodeId, Outcome, Rejection, SessionHome, SessionId, State};

pub(crate) fn house_session(state: &State, id: &SessionId, node: NodeId, expected_epoch: u64) -> Decision {
    let Some(session) = state.session(id) else { return super::rejected(Rejection::SessionNotFound) };
    match session.home {
        // Whoever came first has it; the others are told.
        Some(home) if home.epoch != expected_epoch => Decision::new(Outcome::SessionHoused(home)),
        _ => {
            // Never one that an earlier session of this name had: its home may still be at work.
            let epoch = state.log_time_ms().max(session.home.map_or(0, |home| home.epoch) + 1);
            let home = SessionHome { node, epoch };
            Decision::new(Outcome::SessionHoused(home)).write(Record::SessionHome(id.clone(), home))
        }
    }
}
