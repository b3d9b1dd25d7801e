//! All sessions, with an index of when they end.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::{Session, SessionHome, SessionId, SessionInfo, SessionVersion};

/// Kept in memory; the index and the weight are derived from the sessions.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sessions {
    /// Of all kept versions.
    weight: u64,
    held: BTreeMap<SessionId, Session>,
    expiry: BTreeSet<(u64, SessionId)>,
}

impl Sessions {
    pub(crate) fn get(&self, id: &SessionId) -> Option<&Session> {
        self.held.get(id)
    }

    pub(crate) fn weight(&self) -> u64 {
        self.weight
    }

    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&SessionId, &Session)> {
        self.held.iter()
    }

    /// Those after `id`, in the order of their ids.
    pub(crate) fn after(&self, id: Option<&SessionId>) -> impl Iterator<Item = (&SessionId, &Session)> {
        let from = id.map_or(Bound::Unbounded, Bound::Excluded);
        self.held.range::<SessionId, _>((from, Bound::Unbounded))
    }

    /// Those whose time is over, the first to end first.
    pub(crate) fn expired(&self, now_ms: u64) -> impl Iterator<Item = &SessionId> {
        self.expiry.iter().take_while(move |(expires, _)| *expires <= now_ms).map(|(_, id)| id)
    }

    /// When the next one ends.
    pub(crate) fn next_expiry_ms(&self) -> Option<u64> {
        self.expiry.first().map(|(expires, _)| *expires)
    }

    pub(crate) fn set_info(&mut self, id: SessionId, info: SessionInfo) {
        if let Some(expires) = info.expires_ms() {
            self.expiry.insert((expires, id.clone()));
        }
        match self.held.get_mut(&id) {
            Some(session) => {
                let before = std::mem::replace(&mut session.info, info).expires_ms();
                if before != info.expires_ms()
                    && let Some(before) = before
                {
                    self.expiry.remove(&(before, id));
                }
            }
            None => {
                self.held.insert(id, Session::new(info));
            }
        }
    }

    pub(crate) fn set_home(&mut self, id: &SessionId, home: Option<SessionHome>) {
        if let Some(session) = self.held.get_mut(id) {
            session.home = home;
        }
    }

    pub(crate) fn push_version(&mut self, id: &SessionId, version: SessionVersion) {
        if let Some(session) = self.held.get_mut(id) {
            self.weight += version.weight();
            session.push(version);
        }
    }

    pub(crate) fn forget_oldest_version(&mut self, id: &SessionId) {
        if let Some(session) = self.held.get_mut(id) {
            self.weight -= session.forget_oldest();
        }
    }

    pub(crate) fn remove(&mut self, id: &SessionId) {
        let Some(session) = self.held.remove(id) else { return };
        self.weight -= session.weight();
        if let Some(expires) = session.info.expires_ms() {
            self.expiry.remove(&(expires, id.clone()));
        }
    }
}
