//! Who waits for news of which worker of a zygote.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use crate::process::Fingerprint;

/// News of a worker from its zygote. At most three for each worker: forked or failed, exited, the zygote's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Notice {
    /// It exists.
    Forked(Fingerprint),
    /// It could not be made.
    Failed(String),
    /// It has ended, and its group was killed.
    Exited { code: Option<i32>, signal: Option<i32> },
    /// The zygote has ended, and the worker was killed.
    ZygoteEnded(String),
}

const NOTICES: usize = 4;

#[derive(Debug)]
pub(super) struct Row {
    pub notices: mpsc::Sender<Notice>,
    pub actor: String,
    pub process: Option<Fingerprint>,
}

/// The workers of one zygote, from the order to fork until they are reaped.
#[derive(Debug, Default)]
pub(crate) struct Table {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    ended: bool,
    heard: u64,
    rows: HashMap<String, Row>,
}

/// Why a worker cannot be entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotEntered {
    /// The zygote has ended.
    Ended,
    /// A worker of that id is alive.
    Taken,
}

impl Table {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a worker before the order to fork it is given.
    pub fn enter(&self, worker: &str, actor: &str) -> Result<mpsc::Receiver<Notice>, NotEntered> {
        let mut inner = self.inner();
        if inner.ended {
            return Err(NotEntered::Ended);
        }
        if inner.rows.contains_key(worker) {
            return Err(NotEntered::Taken);
        }
        let (notices, receiver) = mpsc::channel(NOTICES);
        inner.rows.insert(worker.to_owned(), Row { notices, actor: actor.to_owned(), process: None });
        Ok(receiver)
    }

    /// Counts what the zygote has said: a sign of life.
    pub fn heard(&self) -> u64 {
        self.inner().heard
    }

    pub(super) fn hear(&self) {
        self.inner().heard += 1;
    }

    /// Takes out a worker that was never ordered.
    pub fn withdraw(&self, worker: &str) {
        self.inner().rows.remove(worker);
    }

    /// Notes the process of a worker and tells its owner. False when nobody wants it any more. `record` runs before the owner
    /// is told, so that a worker is on disk before it is used.
    pub(super) fn forked(&self, worker: &str, process: Fingerprint, record: impl FnOnce(&str)) -> bool {
        let mut inner = self.inner();
        let Some(row) = inner.rows.get_mut(worker) else { return false };
        row.process = Some(process);
        record(&row.actor);
        row.notices.try_send(Notice::Forked(process)).is_ok()
    }

    /// Takes out a worker that has ended or was never made.
    pub(super) fn remove(&self, worker: &str) -> Option<Row> {
        self.inner().rows.remove(worker)
    }

    /// Ends the table: nothing can be entered any more. Returns what was in it.
    pub(super) fn end(&self) -> Vec<Row> {
        let mut inner = self.inner();
        inner.ended = true;
        inner.rows.drain().map(|(_, row)| row).collect()
    }

    pub fn has_ended(&self) -> bool {
        self.inner().ended
    }

    pub fn len(&self) -> usize {
        self.inner().rows.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROCESS: Fingerprint = Fingerprint { pid: 7, start_ticks: 1 };

    #[test]
    fn the_owner_hears_of_the_fork_after_it_was_recorded() {
        let table = Table::default();
        let mut notices = table.enter("w1", "pool/w1").expect("entered");
        assert_eq!(table.enter("w1", "pool/w1").err(), Some(NotEntered::Taken));
        let mut recorded = String::new();
        assert!(table.forked("w1", PROCESS, |actor| recorded.push_str(actor)));
        assert_eq!(recorded, "pool/w1");
        assert_eq!(notices.try_recv(), Ok(Notice::Forked(PROCESS)));
    }

    #[test]
    fn a_worker_that_nobody_wants_is_said_so() {
        let table = Table::default();
        drop(table.enter("w1", "pool/w1").expect("entered"));
        assert!(!table.forked("w1", PROCESS, |_| ()));
        assert!(!table.forked("unknown", PROCESS, |_| ()));
    }

    #[test]
    fn nothing_is_entered_after_the_end() {
        let table = Table::default();
        let _notices = table.enter("w1", "pool/w1").expect("entered");
        assert_eq!(table.end().len(), 1);
        assert_eq!(table.enter("w2", "pool/w2").err(), Some(NotEntered::Ended));
        assert_eq!(table.len(), 0);
    }
}
