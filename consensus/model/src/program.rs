//! A program: what it is made of, under one version after another, and what its optimizations gave.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Digest, Name, Optimization, SessionData, SessionId, Signature};

/// Versions that are kept of a program, the newest included.
pub const PROGRAM_VERSIONS_MAX: usize = 20;

/// Bytes that one version holds in the state: definition, signature, variables and note. Longer definitions are blobs.
pub const PROGRAM_BYTES_MAX: usize = 48 * 1024;

/// Bytes of the note of a version.
pub const PROGRAM_NOTE_BYTES_MAX: usize = 1024;

/// Bytes that all programs may hold together, with their versions and optimizations: every node has them in memory.
pub const PROGRAMS_TOTAL_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Programs of one session: they leave with it, at one entry of the log.
pub const PROGRAMS_PER_SESSION_MAX: usize = 100;

/// What a version takes beside its texts, about.
const VERSION_BYTES: u64 = 256;

/// One program, for its life. A UUID.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProgramId(pub u128);

impl fmt::Display for ProgramId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_u128(self.0).fmt(f)
    }
}

impl fmt::Debug for ProgramId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The text is not a UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a program's id is a UUID like 019a9c3e-7d52-7c11-b0c4-6f0e6d1c2b3a")]
pub struct ParseProgramIdError;

impl FromStr for ProgramId {
    type Err = ParseProgramIdError;

    fn from_str(text: &str) -> Result<Self, ParseProgramIdError> {
        Uuid::try_parse(text).map(|uuid| Self(uuid.as_u128())).map_err(|_| ParseProgramIdError)
    }
}

/// Under what a program is found: a name of all, or one of a session's own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProgramKey {
    /// Whose it is; `None`: everybody's.
    pub session: Option<SessionId>,
    /// Its name there.
    pub name: Name,
}

impl fmt::Display for ProgramKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.session {
            Some(session) => write!(f, "{} of session {session}", self.name),
            None => self.name.fmt(f),
        }
    }
}

/// How far a program is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ProgramStatus {
    /// Worked on.
    #[default]
    Draft,
    /// For use.
    Ready,
    /// Another one takes its place.
    Deprecated,
}

impl ProgramStatus {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Draft, Self::Ready, Self::Deprecated];

    /// The word for people and scripts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Ready => "ready",
            Self::Deprecated => "deprecated",
        }
    }
}

/// What a program is made of: the JSON that a worker takes. Checked where it comes in, and opaque here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProgramDefinition {
    /// The text itself.
    Inline(String),
    /// A long one.
    Blob {
        /// Where it is.
        digest: Digest,
        /// How long.
        bytes: u64,
    },
}

impl ProgramDefinition {
    /// The blob that it is.
    pub fn blob(&self) -> Option<Digest> {
        match self {
            Self::Inline(_) => None,
            Self::Blob { digest, .. } => Some(*digest),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Inline(text) => text.len(),
            Self::Blob { .. } => 0,
        }
    }
}

/// How a program stands. Rewritten with each change, so it stays small.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramInfo {
    /// Under what it is found.
    pub key: ProgramKey,
    /// How far it is.
    pub status: ProgramStatus,
    /// 1 at its creation, one more with each change of what it is made of.
    pub version: u64,
    /// Log time of its creation.
    pub created_ms: u64,
    /// Log time of its last change, of its status as well.
    pub updated_ms: u64,
}

/// One version of a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramVersion {
    /// What it is made of.
    pub definition: ProgramDefinition,
    /// What it takes and gives; `None`: only its code knows.
    pub signature: Option<Signature>,
    /// Named JSON texts, as those of a session.
    pub variables: SessionData,
    /// Log time at which it was written.
    pub written_ms: u64,
    /// Who wrote it: the name of a token, or of the local user.
    pub written_by: String,
    /// What its author says of it.
    pub note: String,
}

impl ProgramVersion {
    /// Bytes that it holds in the state.
    pub fn bytes(&self) -> usize {
        let signature = self.signature.as_ref().map_or(0, Signature::bytes);
        self.definition.bytes() + signature + self.variables.bytes() + self.note.len()
    }

    /// What it counts for in [`PROGRAMS_TOTAL_BYTES_MAX`].
    pub(crate) fn weight(&self) -> u64 {
        VERSION_BYTES + self.bytes() as u64
    }
}

/// A program with what is kept of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    /// How it stands.
    pub info: ProgramInfo,
    /// Oldest first; the last one is `info.version`.
    versions: VecDeque<ProgramVersion>,
    /// By number, oldest first.
    optimizations: VecDeque<(u64, Optimization)>,
}

impl Program {
    pub(crate) fn new(info: ProgramInfo) -> Self {
        Self { info, versions: VecDeque::with_capacity(1), optimizations: VecDeque::new() }
    }

    /// The newest version. A program always has one; before its record is read there is none.
    pub fn newest(&self) -> Option<&ProgramVersion> {
        self.versions.back()
    }

    /// A version that is kept.
    pub fn version(&self, number: u64) -> Option<&ProgramVersion> {
        let place = number.checked_sub(self.oldest_version()?)?;
        self.versions.get(usize::try_from(place).ok()?)
    }

    /// The versions that are kept with their numbers, oldest first.
    pub fn versions(&self) -> impl DoubleEndedIterator<Item = (u64, &ProgramVersion)> {
        let oldest = self.oldest_version().unwrap_or(0);
        self.versions.iter().enumerate().map(move |(place, version)| (oldest + place as u64, version))
    }

    /// The number of the oldest version that is kept.
    pub fn oldest_version(&self) -> Option<u64> {
        let kept = self.versions.len() as u64;
        (kept > 0).then(|| (self.info.version + 1).saturating_sub(kept))
    }

    /// What its optimizations gave, by number, oldest first.
    pub fn optimizations(&self) -> impl DoubleEndedIterator<Item = (u64, &Optimization)> + ExactSizeIterator {
        self.optimizations.iter().map(|(number, optimization)| (*number, optimization))
    }

    /// Every blob that it refers to; one may come twice.
    pub fn blobs(&self) -> impl Iterator<Item = Digest> {
        self.versions.iter().filter_map(|version| version.definition.blob())
    }

    /// A version as it is read or written: in the order of their numbers.
    pub(crate) fn push_version(&mut self, version: ProgramVersion) {
        self.versions.push_back(version);
    }

    pub(crate) fn forget_oldest_version(&mut self) -> Option<ProgramVersion> {
        self.versions.pop_front()
    }

    pub(crate) fn push_optimization(&mut self, number: u64, optimization: Optimization) {
        self.optimizations.push_back((number, optimization));
    }

    pub(crate) fn forget_oldest_optimization(&mut self) -> Option<Optimization> {
        self.optimizations.pop_front().map(|(_, optimization)| optimization)
    }

    pub(crate) fn weight(&self) -> u64 {
        let versions: u64 = self.versions.iter().map(ProgramVersion::weight).sum();
        versions + self.optimizations.iter().map(|(_, optimization)| optimization.weight()).sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_back_from_its_text() {
        let id = ProgramId(0x019a_9c3e_7d52_7c11_b0c4_6f0e_6d1c_2b3a);
        assert_eq!(id.to_string(), "019a9c3e-7d52-7c11-b0c4-6f0e6d1c2b3a");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!("qa".parse::<ProgramId>(), Err(ParseProgramIdError));
    }

    #[test]
    fn a_program_is_called_by_its_name_and_its_session() {
        let name = Name::new("qa").expect("a name");
        let global = ProgramKey { session: None, name: name.clone() };
        let own = ProgramKey { session: Some(SessionId::new("user-1").expect("an id")), name };
        assert_eq!((global.to_string(), own.to_string()), ("qa".to_owned(), "qa of session user-1".to_owned()));
        assert!(global < own, "those of all come first");
    }
}
