//! How many sessions there are, and what they take.

use std::collections::BTreeMap;

use crate::{NodeId, Session, SessionId, State};

/// Of all sessions that are seen, or of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionStats {
    /// How many.
    pub sessions: u64,
    /// Their versions that are kept.
    pub versions: u64,
    /// What those count for in [`SESSIONS_TOTAL_BYTES_MAX`](crate::SESSIONS_TOTAL_BYTES_MAX).
    pub bytes: u64,
    /// Programs of their own.
    pub programs: u64,
    /// For how many each node executes. Those that nobody has called in yet have no home.
    pub homes: BTreeMap<NodeId, u64>,
}

impl State {
    /// Of one session, where one is named; `None`: it does not exist.
    pub fn session_stats(&self, of: Option<&SessionId>) -> Option<SessionStats> {
        let mut stats = SessionStats::default();
        match of {
            Some(id) => {
                let session = self.session(id)?;
                stats.bytes = session.weight();
                self.count(id, session, &mut stats);
            }
            None => {
                // Known, and those whose time is over count until they are removed.
                stats.bytes = self.sessions_weight();
                self.sessions_after(None).for_each(|(id, session)| self.count(id, session, &mut stats));
            }
        }
        Some(stats)
    }

    fn count(&self, id: &SessionId, session: &Session, stats: &mut SessionStats) {
        stats.sessions += 1;
        stats.versions += session.oldest_version().map_or(0, |oldest| session.info.version + 1 - oldest);
        stats.programs += self.programs_after(Some(id), None).count() as u64;
        if let Some(home) = session.home {
            *stats.homes.entry(home.node).or_default() += 1;
        }
    }
}
