//! A worker as the plan has it: what it was given, and whether it may get more.

use std::collections::VecDeque;

use super::CallId;

/// A call that others wait behind and that runs longer gives them back, when another worker is free.
pub(super) const STALLED_US: u64 = 5_000;

#[derive(Clone, Copy, Debug)]
pub(super) struct Running {
    pub(super) call: CallId,
    /// When it became one of the first `threads`; `None` while it waits in the worker.
    pub(super) since_us: Option<u64>,
    pub(super) expected_us: f64,
    /// It is quick, and only computes.
    pub(super) computes: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Worker {
    pub(super) threads: usize,
    pub(super) assigned: VecDeque<Running>,
    /// What is expected of all that is assigned.
    pub(super) backlog_us: f64,
    /// It executes a call alone, or is to run empty for one; nothing is added.
    pub(super) solo: bool,
    /// It gets no more.
    pub(super) leaving: bool,
    /// It was asked to give back what it has not started.
    pub(super) recalled: bool,
}

impl Worker {
    pub(super) fn new(threads: usize) -> Self {
        Self {
            threads: threads.max(1),
            assigned: VecDeque::new(),
            backlog_us: 0.0,
            solo: false,
            leaving: false,
            recalled: false,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        !self.solo && !self.leaving && !self.recalled
    }

    /// What it executes takes longer than expected. Replies of quick calls come together, so nothing is slow before all that it
    /// holds could be done.
    pub(super) fn is_stalled(&self, now_us: u64) -> bool {
        let patience = STALLED_US + self.backlog_us as u64;
        let slow = |running: &Running| running.since_us.is_some_and(|since| now_us.saturating_sub(since) >= patience);
        self.assigned.iter().any(slow)
    }

    /// It keeps a CPU busy, for a short while.
    pub(super) fn computes(&self, now_us: u64) -> bool {
        self.assigned.iter().take(self.threads).any(|running| running.computes) && !self.is_stalled(now_us)
    }

    /// It is kept empty for a call that must run alone.
    pub(super) fn is_kept(&self) -> bool {
        self.solo && self.assigned.is_empty() && !self.leaving && !self.recalled
    }

    pub(super) fn has_free_thread(&self) -> bool {
        self.is_open() && self.assigned.len() < self.threads
    }

    pub(super) fn start_next(&mut self, now_us: u64) {
        for running in self.assigned.iter_mut().take(self.threads) {
            running.since_us.get_or_insert(now_us);
        }
    }

    pub(super) fn remove(&mut self, position: usize, now_us: u64) {
        if let Some(running) = self.assigned.remove(position) {
            self.backlog_us = if self.assigned.is_empty() { 0.0 } else { self.backlog_us - running.expected_us };
        }
        self.solo &= !self.assigned.is_empty();
        self.start_next(now_us);
    }
}
