//! A session: named values under one version, with a life that log time measures.

use std::collections::VecDeque;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::NodeId;
use crate::name::{InvalidName, check_letters};

/// Versions that are kept of a session, the newest included.
pub const SESSION_VERSIONS_MAX: usize = 100;

/// Bytes of names and values that a session may hold; larger values are blobs.
pub const SESSION_BYTES_MAX: usize = 32 * 1024;

/// Bytes that the kept versions of all sessions may hold together: every node has them in memory.
pub const SESSIONS_TOTAL_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// What a version takes beside its names and values, about.
const VERSION_BYTES: u64 = 128;

/// Bytes of a session's id.
pub const SESSION_ID_BYTES_MAX: usize = 256;

/// Names a session; its user chooses it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionId(String);

/// The text cannot name a session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSessionId {
    /// No session was ever called so.
    #[error("a session id has 1 to {SESSION_ID_BYTES_MAX} bytes of printable text, without spaces at its ends")]
    Form,
    /// None is called so from now on.
    #[error("a session's id is held to the rules of names: {0}")]
    Name(#[from] InvalidName),
}

impl SessionId {
    /// The id, if the text can be the one of a session that is there: also of one that was created before [`chosen`](Self::chosen)
    /// was stricter than this.
    ///
    /// # Errors
    /// No session was ever called so.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidSessionId> {
        let text = text.into();
        let long = text.is_empty() || text.len() > SESSION_ID_BYTES_MAX;
        if long || text.trim() != text || text.chars().any(char::is_control) {
            return Err(InvalidSessionId::Form);
        }
        Ok(Self(text))
    }

    /// The id of a session that is to be created: two that look alike must not be two, and none may look like a path.
    ///
    /// # Errors
    /// Why it cannot be called so.
    pub fn chosen(text: impl Into<String>) -> Result<Self, InvalidSessionId> {
        let id = Self::new(text)?;
        check_letters(id.as_str())?;
        Ok(id)
    }

    /// What is stored was an id when it came in.
    pub(crate) fn stored(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names and JSON texts, in the order of the names. The texts are checked where they come in, and opaque here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionData(Vec<(String, String)>);

impl SessionData {
    /// With these values; of two under one name the later one counts.
    pub fn new(values: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut data = Self::default();
        values.into_iter().for_each(|(name, value)| data.set(name, value));
        data
    }

    /// All of them.
    pub fn values(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// One of them.
    pub fn get(&self, name: &str) -> Option<&str> {
        let place = self.place(name).ok()?;
        Some(&self.0[place].1)
    }

    /// Bytes of names and values.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + value.len()).sum()
    }

    /// This data after a change.
    pub(crate) fn changed(&self, change: &SessionChange) -> Self {
        let mut data = if change.replace { Self::default() } else { self.clone() };
        for name in &change.removed {
            if let Ok(place) = data.place(name) {
                data.0.remove(place);
            }
        }
        change.set.iter().for_each(|(name, value)| data.set(name.clone(), value.clone()));
        data
    }

    fn set(&mut self, name: String, value: String) {
        match self.place(&name) {
            Ok(place) => self.0[place].1 = value,
            Err(place) => self.0.insert(place, (name, value)),
        }
    }

    fn place(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| known.as_str().cmp(name))
    }
}

/// What an update does to the data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionChange {
    /// Everything that was there goes first.
    pub replace: bool,
    /// Names that go.
    pub removed: Vec<String>,
    /// Names and JSON texts that come, or take the place of others.
    pub set: Vec<(String, String)>,
}

/// How a session stands. Rewritten with each version, so it stays small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionInfo {
    /// 1 at its creation, one more with each update.
    pub version: u64,
    /// Log time of its creation.
    pub created_ms: u64,
    /// Log time of its newest version.
    pub updated_ms: u64,
    /// How long it lives after an update; `None`: until it is deleted.
    pub ttl_ms: Option<u64>,
}

impl SessionInfo {
    /// The log time at which it is gone.
    pub fn expires_ms(&self) -> Option<u64> {
        self.ttl_ms.map(|ttl| self.updated_ms.saturating_add(ttl))
    }

    /// Whether it is gone at this log time.
    pub fn is_expired(&self, now_ms: u64) -> bool {
        self.expires_ms().is_some_and(|expires| expires <= now_ms)
    }
}

/// The node that executes for a session. It holds nothing that is not in the log, so another one can take its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionHome {
    /// Which one.
    pub node: NodeId,
    /// Greater with each node that takes the place; what an earlier one still writes is refused.
    pub epoch: u64,
}

/// One version of a session's data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionVersion {
    /// Log time at which it was written.
    pub written_ms: u64,
    /// The values.
    pub data: SessionData,
}

impl SessionVersion {
    /// What it counts for in [`SESSIONS_TOTAL_BYTES_MAX`].
    pub(crate) fn weight(&self) -> u64 {
        VERSION_BYTES + self.data.bytes() as u64
    }
}

/// A session with the versions that are kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// How it stands.
    pub info: SessionInfo,
    /// Where it is executed for; `None`: nobody has asked yet.
    pub home: Option<SessionHome>,
    /// Oldest first; the last one is `info.version`.
    versions: VecDeque<SessionVersion>,
}

impl Session {
    pub(crate) fn new(info: SessionInfo) -> Self {
        Self { info, home: None, versions: VecDeque::with_capacity(1) }
    }

    /// The newest data. A session always has a version; before its record is read there is none.
    pub fn data(&self) -> Option<&SessionData> {
        self.versions.back().map(|version| &version.data)
    }

    /// A version that is kept.
    pub fn version(&self, number: u64) -> Option<&SessionVersion> {
        let place = number.checked_sub(self.oldest_version()?)?;
        self.versions.get(usize::try_from(place).ok()?)
    }

    /// The versions that are kept with their numbers, oldest first.
    pub fn versions(&self) -> impl Iterator<Item = (u64, &SessionVersion)> {
        (self.oldest_version().unwrap_or(0)..).zip(&self.versions)
    }

    /// The number of the oldest version that is kept.
    pub fn oldest_version(&self) -> Option<u64> {
        let kept = self.versions.len() as u64;
        (kept > 0).then(|| (self.info.version + 1).saturating_sub(kept))
    }

    /// A version as it is read or written: in the order of their numbers.
    pub(crate) fn push(&mut self, version: SessionVersion) {
        self.versions.push_back(version);
    }

    /// Gives what it weighed.
    pub(crate) fn forget_oldest(&mut self) -> u64 {
        self.versions.pop_front().map_or(0, |version| version.weight())
    }

    pub(crate) fn weight(&self) -> u64 {
        self.versions.iter().map(SessionVersion::weight).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_printable_and_short() {
        for good in ["user-123", "ü", "a b", &"x".repeat(SESSION_ID_BYTES_MAX)] {
            assert_eq!(SessionId::new(good).map(|id| id.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", " a", "a\n", "a\u{7f}", &"x".repeat(SESSION_ID_BYTES_MAX + 1)] {
            assert_eq!(SessionId::new(bad), Err(InvalidSessionId::Form), "{bad:?}");
            assert!(SessionId::chosen(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_new_session_is_called_as_a_program_may_be() {
        for good in ["user-123", "ü", "a b", "ada@example.org", "рецепт", &"x".repeat(SESSION_ID_BYTES_MAX)] {
            assert_eq!(SessionId::chosen(good).map(|id| id.to_string()), Ok(good.to_owned()));
        }
        // A path, an override of direction, a space that nobody sees, Cyrillic among Latin, full-width letters.
        for bad in ["..", ".", "a/b", "a\\b", "user\u{202e}1", "user\u{200b}1", "us\u{435}r", "ｕｓｅｒ"] {
            assert!(matches!(SessionId::chosen(bad), Err(InvalidSessionId::Name(_))), "{bad:?}");
            assert_eq!(SessionId::new(bad).map(|id| id.to_string()), Ok(bad.to_owned()), "older logs hold it");
        }
    }

    #[test]
    fn a_change_removes_sets_or_replaces() {
        let text = |text: &str| text.to_owned();
        let data = SessionData::new([(text("b"), text("1")), (text("a"), text("2")), (text("b"), text("3"))]);
        assert_eq!(data.values().collect::<Vec<_>>(), [("a", "2"), ("b", "3")]);
        assert_eq!((data.get("b"), data.get("c"), data.bytes()), (Some("3"), None, 4));
        let change = SessionChange {
            replace: false,
            removed: vec![text("a"), text("nothing")],
            set: vec![(text("c"), text("4"))],
        };
        assert_eq!(data.changed(&change).values().collect::<Vec<_>>(), [("b", "3"), ("c", "4")]);
        let replaced = data.changed(&SessionChange { replace: true, ..change });
        assert_eq!(replaced.values().collect::<Vec<_>>(), [("c", "4")]);
    }
}
