//! A linearizable read sees everything that was acknowledged or read before it began, and what it sees is the state at one
//! index. All writes are in one order, that of the log, and keep real time; so this is all of linearizability.

use super::Invariant;
use crate::committed::Committed;
use crate::handle::Freshness;
use crate::observer::Seen;

#[derive(Default)]
pub(crate) struct ReadsAreLinearizable;

impl Invariant for ReadsAreLinearizable {
    fn name(&self) -> &'static str {
        "reads_are_linearizable"
    }

    fn see(&mut self, seen: &Seen<'_>, committed: &Committed) -> Result<(), String> {
        let Seen::Read { client, node, freshness, session, visible, applied, view, .. } = seen else { return Ok(()) };
        if applied < visible && *freshness == Freshness::Linearizable {
            return Err(format!(
                "client {client} read at node {node} at {applied}, when {visible} was visible before it began"
            ));
        }
        let expected = committed.view_at(session, *applied);
        if *view != expected {
            return Err(format!("client {client} read {session} at {applied}: {view:?} instead of {expected:?}"));
        }
        Ok(())
    }
}
