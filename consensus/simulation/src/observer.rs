//! Sees everything that happens, and hands it to the invariants. The first violation is kept; the simulation ends with it.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dspex_model::{Digest, Outcome, SessionId};
use openraft::entry::RaftEntry;
use tokio::time::Instant;

use crate::committed::{Committed, View};
use crate::disk::LogImage;
use crate::handle::Freshness;
use crate::invariant::{Invariant, all};
use crate::settings::EPOCH_MS;
use crate::statistics::Statistics;
use crate::types::{Entry, LeaderId, LogId};

/// Something that happened.
#[derive(Clone, Copy)]
pub(crate) enum Seen<'a> {
    /// A node has been started. Its clock is ahead of the true time by so much.
    Started { node: u64, clock_ahead_ms: i64 },
    /// A node has promised its vote, and takes that for stored.
    Voted { node: u64, vote: LeaderId },
    /// A node has written entries to its log, behind this one.
    Appended { node: u64, before: Option<LogId>, entries: &'a [Entry] },
    /// A node leads, with this log, and this much in its state. Told again and again.
    Leads { node: u64, incarnation: u64, leader: LeaderId, log: &'a LogImage, applied: Option<LogId> },
    /// A node has applied an entry.
    Applied { node: u64, entry: &'a Entry },
    /// Nobody had applied this entry before: it is part of [`Committed`] now.
    Committed { index: u64 },
    /// The state of a node, after entries were applied, a snapshot was installed, or the node was started.
    Stands { node: u64, applied: LogId, fingerprint: u64, log_time_ms: u64 },
    /// A node has written a snapshot.
    Snapshot { node: u64, index: u64 },
    /// A node has installed a snapshot of its leader's.
    Installed { node: u64, index: u64 },
    /// A client has the outcome of its write. When it began, `visible` was visible.
    Acknowledged { token: &'a str, visible: u64, outcome: &'a Outcome },
    /// A client has read a session in a state with this index. When it began, `visible` was visible, and a leader's lease
    /// before that, `lease_ago` was.
    Read {
        client: u64,
        node: u64,
        freshness: Freshness,
        session: &'a SessionId,
        visible: u64,
        lease_ago: u64,
        applied: u64,
        view: Option<&'a View>,
    },
    /// A node has a blob, synced or not.
    BlobHeld { node: u64, digest: Digest, synced: bool },
    /// A node has freed a blob.
    BlobGone { node: u64, digest: Digest },
    /// A node cannot be started, or its consensus has stopped by itself.
    Failed { node: u64, detail: &'a str },
    /// A fault or a change of members, for the trace.
    Event { text: &'a str },
}

impl fmt::Display for Seen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { node, clock_ahead_ms } => {
                write!(f, "n{node} started, its clock ahead by {clock_ahead_ms} ms")
            }
            Self::Voted { node, vote } => write!(f, "n{node} votes for {vote}"),
            Self::Appended { node, before, entries } => {
                let behind = before.map_or_else(|| "nothing".to_owned(), |id| id.to_string());
                write!(f, "n{node} appended {} entries behind {behind}:", entries.len())?;
                entries.iter().try_for_each(|entry| write!(f, " {entry}"))
            }
            Self::Leads { node, leader, .. } => write!(f, "n{node} leads as {leader}"),
            Self::Applied { node, entry } => write!(f, "n{node} applied {}", entry.log_id()),
            Self::Committed { index } => write!(f, "entry {index} is committed"),
            Self::Stands { node, applied, fingerprint, log_time_ms } => {
                write!(f, "n{node} stands at {applied}: {fingerprint:016x}, log time {log_time_ms}")
            }
            Self::Snapshot { node, index } => write!(f, "n{node} wrote a snapshot of {index}"),
            Self::Installed { node, index } => write!(f, "n{node} installed a snapshot of {index}"),
            Self::Acknowledged { token, visible, outcome } => {
                write!(f, "{token} acknowledged: {outcome:?}; {visible} was visible")
            }
            Self::Read { client, node, freshness, session, visible, applied, view, .. } => {
                write!(
                    f,
                    "c{client} read {session} at n{node} ({freshness:?}) at {applied}: {view:?}; {visible} was visible"
                )
            }
            Self::BlobHeld { node, digest, synced } => {
                write!(f, "n{node} holds blob {digest}{}", if *synced { "" } else { ", not synced" })
            }
            Self::BlobGone { node, digest } => write!(f, "n{node} has freed blob {digest}"),
            Self::Failed { node, detail } => write!(f, "n{node} failed: {detail}"),
            Self::Event { text } => f.write_str(text),
        }
    }
}

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The invariant's name, which is that of its file.
    pub invariant: String,
    /// Milliseconds after the begin.
    pub at_ms: u64,
    /// What was seen.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is violated at {} ms: {}", self.invariant, self.at_ms, self.detail)
    }
}

/// Where everything is seen.
pub(crate) struct Observer {
    state: Mutex<State>,
}

struct State {
    begun: Instant,
    committed: Committed,
    invariants: Vec<Box<dyn Invariant>>,
    violation: Option<Violation>,
    statistics: Statistics,
    trace: Option<Vec<String>>,
}

impl Observer {
    pub(crate) fn new(traces: bool) -> Self {
        let state = State {
            begun: Instant::now(),
            committed: Committed::default(),
            invariants: all(),
            violation: None,
            statistics: Statistics::default(),
            trace: traces.then(Vec::new),
        };
        Self { state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn see(&self, seen: Seen<'_>) {
        self.state().see(&seen);
    }

    /// Something is wrong that no event shows.
    pub(crate) fn violated(&self, invariant: &str, detail: String) {
        self.state().violated(invariant, detail);
    }

    pub(crate) fn violation(&self) -> Option<Violation> {
        self.state().violation.clone()
    }

    /// What an operation that begins now must see.
    pub(crate) fn visible(&self) -> u64 {
        self.visible_ago(Duration::ZERO)
    }

    /// What an operation must see that began so long ago.
    pub(crate) fn visible_ago(&self, ago: Duration) -> u64 {
        let state = self.state();
        let now_ms = EPOCH_MS + state.elapsed_ms();
        state.committed.visible_at(now_ms.saturating_sub(u64::try_from(ago.as_millis()).unwrap_or(u64::MAX)))
    }

    pub(crate) fn committed<R>(&self, look: impl FnOnce(&Committed) -> R) -> R {
        look(&self.state().committed)
    }

    pub(crate) fn count(&self, count: impl FnOnce(&mut Statistics)) {
        count(&mut self.state().statistics);
    }

    /// What was counted, and the trace if there is one.
    pub(crate) fn finish(&self) -> (Statistics, Vec<String>) {
        let mut state = self.state();
        let committed = state.committed.entries().len() as u64;
        state.statistics.entries = committed;
        (std::mem::take(&mut state.statistics), state.trace.take().unwrap_or_default())
    }
}

impl State {
    fn see(&mut self, seen: &Seen<'_>) {
        if self.violation.is_some() {
            return;
        }
        self.note(seen);
        self.committed.true_ms = EPOCH_MS + self.elapsed_ms();
        if let Seen::Applied { entry, .. } = seen {
            match self.committed.take(entry) {
                Ok(true) => self.tell(&Seen::Committed { index: entry.index() }),
                Ok(false) => {}
                Err(detail) => self.violated("committed_entries_survive", detail),
            }
        }
        self.tell(seen);
        let shown = match seen {
            Seen::Acknowledged { token, .. } => self.committed.first_of(token).map(|(index, _)| index),
            Seen::Read { applied, .. } => Some(*applied),
            _ => None,
        };
        self.committed.show(shown.unwrap_or(0));
        self.statistics.see(seen);
    }

    fn tell(&mut self, seen: &Seen<'_>) {
        let violated = self.invariants.iter_mut().find_map(|invariant| {
            let detail = invariant.see(seen, &self.committed).err()?;
            Some((invariant.name(), detail))
        });
        if let Some((name, detail)) = violated {
            self.violated(name, detail);
        }
    }

    fn violated(&mut self, invariant: &str, detail: String) {
        let at_ms = self.elapsed_ms();
        let violation = Violation { invariant: invariant.to_owned(), at_ms, detail };
        if let Some(trace) = &mut self.trace {
            trace.push(violation.to_string());
        }
        self.violation.get_or_insert(violation);
    }

    fn note(&mut self, seen: &Seen<'_>) {
        let at = self.begun.elapsed();
        // Each append shows the leader once more.
        let new = !matches!(seen, Seen::Leads { leader, .. } if self.statistics.knows(*leader));
        if let Some(trace) = &mut self.trace
            && new
        {
            trace.push(format!("{:>10.6} {seen}", at.as_secs_f64()));
        }
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
