//! A device with a write-ahead log: what is written can be read, and what is synced survives.

use std::collections::VecDeque;

use tokio::Random;

/// What a device holds, and what a write does to it.
pub(crate) trait Image: Clone + Default {
    /// A batch: a crash leaves all of it or nothing.
    type Write;

    fn take(&mut self, write: &Self::Write);
}

/// A device.
#[derive(Debug)]
pub(crate) struct Device<I: Image> {
    durable: I,
    written: I,
    unsynced: VecDeque<I::Write>,
    synced_total: usize,
}

impl<I: Image> Default for Device<I> {
    fn default() -> Self {
        Self { durable: I::default(), written: I::default(), unsynced: VecDeque::new(), synced_total: 0 }
    }
}

impl<I: Image> Device<I> {
    pub(crate) fn write(&mut self, write: I::Write) {
        self.written.take(&write);
        self.unsynced.push_back(write);
    }

    /// What a reader sees.
    pub(crate) fn read(&self) -> &I {
        &self.written
    }

    /// What a crash cannot take.
    pub(crate) fn durable(&self) -> &I {
        &self.durable
    }

    /// How many writes a crash may take.
    pub(crate) fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    /// Makes the first writes durable.
    pub(crate) fn sync(&mut self, writes: usize) {
        for write in self.unsynced.drain(..writes.min(self.unsynced.len())) {
            self.durable.take(&write);
            self.synced_total += 1;
        }
    }

    /// How many writes were ever synced, or lost.
    pub(crate) fn synced_total(&self) -> usize {
        self.synced_total
    }

    /// How many writes there ever were.
    pub(crate) fn written_total(&self) -> usize {
        self.synced_total + self.unsynced.len()
    }

    /// Makes the first writes that there ever were durable.
    pub(crate) fn sync_upto(&mut self, writes: usize) {
        self.sync(writes.saturating_sub(self.synced_total));
    }

    /// Puts something else in the place of everything, durably.
    pub(crate) fn replace(&mut self, image: I) {
        self.synced_total += self.unsynced.len();
        self.unsynced.clear();
        self.durable = image.clone();
        self.written = image;
    }

    /// The process has died, and the machine has not: what was handed to the kernel is there.
    pub(crate) fn survive(&mut self) {
        self.sync(usize::MAX);
    }

    /// Any number of writes had reached the disk before their sync; the rest is gone.
    pub(crate) fn crash(&mut self, random: &mut Random) {
        let arrived = random.below(self.unsynced.len() as u64 + 1);
        self.sync(usize::try_from(arrived).unwrap_or(usize::MAX));
        self.synced_total += self.unsynced.len();
        self.unsynced.clear();
        self.written = self.durable.clone();
    }
}
