//! What the cluster has agreed on, as the first node to apply each entry shows it: the log, and a state of its own made from
//! it one entry after another. Nodes are compared with it; it is compared with nobody.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use dspex_model::{Command, Digest, Outcome, Proposal, SessionId, State};
use openraft::EntryPayload;
use openraft::entry::RaftEntry;

use crate::blobs::referenced;
use crate::disk::StateImage;
use crate::types::{EncodedProposal, Entry, LogId};

/// A client's write puts its token into the session under this name.
pub(crate) const WRITER: &str = "writer";

/// How long it is remembered what was visible when.
const VISIBLE_KEPT_MS: u64 = 10_000;

/// One committed entry, and where it has led.
#[derive(Debug)]
pub(crate) struct CommittedEntry {
    pub(crate) log_id: LogId,
    pub(crate) digest: u64,
    pub(crate) proposal: Option<Proposal>,
    pub(crate) outcome: Option<Outcome>,
    /// The sets of voters that it brings; two of them while a change is under way.
    pub(crate) voters: Option<Vec<BTreeSet<u64>>>,
    /// It may name blobs, or leave some to nobody.
    pub(crate) names_blobs: bool,
    /// Of the state after it.
    pub(crate) fingerprint: u64,
    pub(crate) log_time_ms: u64,
}

/// A session as a reader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) version: u64,
    pub(crate) created_ms: u64,
    pub(crate) writer: String,
}

/// The log of the cluster and its state.
#[derive(Default)]
pub(crate) struct Committed {
    entries: Vec<CommittedEntry>,
    state: State,
    image: StateImage,
    /// Where each token comes first.
    tokens: BTreeMap<String, u64>,
    /// The blobs that runs and executions name, and the entries that have named them first.
    named: BTreeMap<Digest, u64>,
    /// Each session's views with the index that they begin at.
    views: BTreeMap<SessionId, Vec<(u64, Option<View>)>>,
    /// How much was acknowledged or read, with the time from which on it was.
    visible: VecDeque<(u64, u64)>,
    /// The true time, in Unix milliseconds.
    pub(crate) true_ms: u64,
}

impl Committed {
    /// Takes an entry that a node has applied. `Ok(true)`: nobody had before.
    pub(crate) fn take(&mut self, entry: &Entry) -> Result<bool, String> {
        let (index, next) = (entry.index(), self.entries.len() as u64);
        if index < next {
            return Ok(false);
        }
        if index > next {
            return Err(format!("entry {index} was applied, and nobody has applied entry {next} yet"));
        }
        let proposal = match &entry.payload {
            EntryPayload::Normal(EncodedProposal(bytes)) => {
                Some(Proposal::decode(bytes).map_err(|error| format!("entry {index} was committed: {error}"))?)
            }
            EntryPayload::Blank | EntryPayload::Membership(_) => None,
        };
        let voters = match &entry.payload {
            EntryPayload::Membership(membership) => Some(membership.get_joint_config().clone()),
            EntryPayload::Blank | EntryPayload::Normal(_) => None,
        };
        let outcome = proposal.as_ref().map(|proposal| self.apply(index, proposal));
        let names_blobs = proposal.as_ref().is_some_and(|proposal| is_about_blobs(&proposal.command));
        if names_blobs {
            let (named, before) = (referenced(&self.state, &self.image.records), std::mem::take(&mut self.named));
            let since = |digest: &Digest| before.get(digest).copied().unwrap_or(index);
            self.named = named.into_iter().map(|digest| (digest, since(&digest))).collect();
        }
        self.entries.push(CommittedEntry {
            log_id: entry.log_id(),
            digest: digest(entry),
            proposal,
            outcome,
            voters,
            names_blobs,
            fingerprint: self.image.fingerprint,
            log_time_ms: self.state.log_time_ms(),
        });
        Ok(true)
    }

    fn apply(&mut self, index: u64, proposal: &Proposal) -> Outcome {
        let applied = self.state.apply(proposal);
        applied.changes.iter().for_each(|change| self.image.change(change));
        if let Some(token) = &proposal.actor {
            self.tokens.entry(token.clone()).or_insert(index);
        }
        if let Some(session) = session_of(&proposal.command) {
            self.views.entry(session.clone()).or_default();
        }
        // Any of them may have ended: log time has passed.
        for (session, views) in &mut self.views {
            let view = view(&self.state, session);
            if views.last().is_none_or(|(_, last)| *last != view) {
                views.push((index, view));
            }
        }
        applied.outcome
    }

    /// Somebody knows of an entry from now on.
    pub(crate) fn show(&mut self, index: u64) {
        if index > self.visible.back().map_or(0, |(_, visible)| *visible) {
            self.visible.push_back((self.true_ms, index));
        }
        // Nobody asks for what was long ago.
        while self.visible.get(1).is_some_and(|(since_ms, _)| since_ms + VISIBLE_KEPT_MS < self.true_ms) {
            self.visible.pop_front();
        }
    }

    /// What everybody must see whose operation begins at this time: it was acknowledged or read before.
    pub(crate) fn visible_at(&self, true_ms: u64) -> u64 {
        let known = self.visible.iter().rev().find(|(since_ms, _)| *since_ms <= true_ms);
        known.map_or(0, |(_, visible)| *visible)
    }

    pub(crate) fn entries(&self) -> &[CommittedEntry] {
        &self.entries
    }

    pub(crate) fn at(&self, index: u64) -> Option<&CommittedEntry> {
        self.entries.get(usize::try_from(index).ok()?)
    }

    /// The first entry that carries a client's token.
    pub(crate) fn first_of(&self, token: &str) -> Option<(u64, &CommittedEntry)> {
        let index = *self.tokens.get(token)?;
        Some((index, self.at(index)?))
    }

    /// What a reader of the state at an index sees of a session.
    pub(crate) fn view_at(&self, session: &SessionId, index: u64) -> Option<&View> {
        let views = self.views.get(session)?;
        views[..views.partition_point(|(begins, _)| *begins <= index)].last()?.1.as_ref()
    }

    /// The blobs that runs and executions name after the last entry, and the entries that have named them first.
    pub(crate) fn named(&self) -> &BTreeMap<Digest, u64> {
        &self.named
    }

    /// The state after the last entry.
    pub(crate) fn state(&self) -> &State {
        &self.state
    }
}

/// What a reader sees of a session.
pub(crate) fn view(state: &State, session: &SessionId) -> Option<View> {
    let session = state.session(session)?;
    let writer = session.data().and_then(|data| data.get(WRITER)).unwrap_or_default().to_owned();
    Some(View { version: session.info.version, created_ms: session.info.created_ms, writer })
}

/// The session that a command is about.
pub(crate) fn session_of(command: &Command) -> Option<&SessionId> {
    match command {
        Command::CreateSession { session, .. }
        | Command::UpdateSession { session, .. }
        | Command::DeleteSession { session, .. } => Some(session),
        _ => None,
    }
}

fn is_about_blobs(command: &Command) -> bool {
    matches!(
        command,
        Command::SubmitRun(_)
            | Command::RecordResults { .. }
            | Command::DeleteRun { .. }
            | Command::RecordExecutions { .. }
            | Command::PutProgram(_)
            | Command::DeleteProgram { .. }
    )
}

/// Equal for equal entries.
pub(crate) fn digest(entry: &Entry) -> u64 {
    // Its keys are fixed: the same in every process.
    let mut hasher = DefaultHasher::new();
    match &entry.payload {
        EntryPayload::Blank => 0_u8.hash(&mut hasher),
        EntryPayload::Normal(proposal) => (1_u8, proposal).hash(&mut hasher),
        EntryPayload::Membership(membership) => (2_u8, membership.to_string()).hash(&mut hasher),
    }
    hasher.finish()
}
