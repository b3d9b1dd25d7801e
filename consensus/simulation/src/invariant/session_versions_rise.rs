//! A session's version is 1 when it is created, and rises by one with each write that is not refused.

use std::collections::BTreeMap;

use dspex_model::{Command, Outcome, SessionId};

use super::Invariant;
use crate::committed::{Committed, session_of};
use crate::observer::Seen;

#[derive(Default)]
pub(crate) struct SessionVersionsRise {
    versions: BTreeMap<SessionId, u64>,
    /// Tokens whose writes were counted: a repeated request has the outcome of the first.
    counted: std::collections::BTreeSet<String>,
}

impl Invariant for SessionVersionsRise {
    fn name(&self) -> &'static str {
        "session_versions_rise"
    }

    fn see(&mut self, seen: &Seen<'_>, committed: &Committed) -> Result<(), String> {
        let Seen::Committed { index } = seen else { return Ok(()) };
        let Some(entry) = committed.at(*index) else { return Ok(()) };
        let (Some(proposal), Some(Outcome::SessionWritten { version, .. })) = (&entry.proposal, &entry.outcome) else {
            return Ok(());
        };
        let Some(session) = session_of(&proposal.command) else { return Ok(()) };
        if let Some(token) = &proposal.actor
            && !self.counted.insert(token.clone())
        {
            return Ok(());
        }
        let before = self.versions.insert(session.clone(), *version).unwrap_or(0);
        let expected = if matches!(proposal.command, Command::CreateSession { .. }) { 1 } else { before + 1 };
        if *version != expected {
            return Err(format!("{session} was at version {before} and is at {version} after entry {index}"));
        }
        Ok(())
    }
}
