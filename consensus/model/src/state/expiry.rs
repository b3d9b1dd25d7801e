//! What leaves the state by itself when its time is over: a few with each command, so that no single `apply` is long.

use super::State;
use crate::record::{Change, Key};
use crate::request::{self, EVICTED_PER_APPLY};
use crate::{Effect, RequestId, SessionId, transition};

/// Sessions that leave with each command at the most, so that no single `apply` is long.
const EXPIRED_PER_APPLY: usize = 4;

/// A tick has nothing else to do.
const EXPIRED_PER_TICK: usize = 1000;

/// Records for each of these sessions: one with many programs leaves alone.
const RECORDS_PER_SESSION: usize = 101;

impl State {
    pub(super) fn evict_requests(&mut self, changes: &mut Vec<Change>) {
        let old: Vec<RequestId> = self
            .requests
            .keys()
            .take(EVICTED_PER_APPLY)
            .filter(|id| request::is_too_old(self.log_time_ms, **id))
            .copied()
            .collect();
        for id in old {
            if self.executed.contains_key(&id) {
                self.remove(Key::Executed(id), changes);
            }
            self.remove(Key::Request(id), changes);
        }
    }

    /// Removes one run that ended longer ago than runs are kept. Only the oldest is looked at, so that an apply stays short.
    pub(super) fn expire_run(&mut self, changes: &mut Vec<Change>) -> Vec<Effect> {
        let Some((&id, run)) = self.runs.first_key_value() else {
            return Vec::new();
        };
        if !run.is_expired(self.log_time_ms) {
            return Vec::new();
        }
        let decision = transition::delete_run(self, id);
        for key in decision.removed {
            self.remove(key, changes);
        }
        decision.effects
    }

    /// Removes sessions whose time is over, some at a time: reads do not see them any more in any case.
    pub(super) fn expire_sessions(&mut self, is_tick: bool, changes: &mut Vec<Change>) -> Vec<Effect> {
        let at_once = if is_tick { EXPIRED_PER_TICK } else { EXPIRED_PER_APPLY };
        let expired: Vec<SessionId> = self.sessions.expired(self.log_time_ms).take(at_once).cloned().collect();
        let (mut effects, mut removed) = (Vec::new(), 0);
        for id in expired {
            if removed >= at_once * RECORDS_PER_SESSION {
                break;
            }
            let decision = transition::without_session(self, &id);
            removed += decision.removed.len();
            for key in decision.removed {
                self.remove(key, changes);
            }
            effects.extend(decision.effects);
        }
        effects
    }
}
