//! What waits on the channels and what found no room, counted by channel and not by peer: peers come and go, and each would be a
//! time series for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::channel::Channel;

/// Of all connections of a node, by channel; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Traffic {
    channels: [Arc<Counts>; Channel::ALL.len()],
}

/// One channel: what waits now, and what has happened since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChannelTraffic {
    /// What this node has to say and has not written yet: it waits for the peer to take a request, for room, or in the queue.
    pub queued: u64,
    /// Requests that were not begun for want of room, those of this node's own callers and those of peers. Each is counted where it
    /// was refused.
    pub refused: u64,
    /// Messages and replies that were lost for want of room here, whoever sent them.
    pub dropped: u64,
    /// Connections that this node has dialled again after it had lost them.
    pub reconnects: u64,
}

impl Traffic {
    /// A channel as it is now.
    pub fn of(&self, channel: Channel) -> ChannelTraffic {
        let counts = self.counts(channel);
        // Each by itself: nothing is decided by them together.
        let value = |count: &AtomicU64| count.load(Ordering::Relaxed);
        ChannelTraffic {
            queued: value(&counts.queued),
            refused: value(&counts.refused),
            dropped: value(&counts.dropped),
            reconnects: value(&counts.reconnects),
        }
    }

    pub(crate) fn counts(&self, channel: Channel) -> &Arc<Counts> {
        // They are numbered from 1, without a gap.
        &self.channels[channel as usize - 1]
    }
}

/// Of one channel.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    queued: AtomicU64,
    refused: AtomicU64,
    dropped: AtomicU64,
    reconnects: AtomicU64,
}

impl Counts {
    /// Something is to be written, and waits until what this gives is dropped.
    pub(crate) fn waits(self: &Arc<Self>) -> Waits {
        self.queued.fetch_add(1, Ordering::Relaxed);
        Waits(Arc::clone(self))
    }

    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn reconnected(&self) {
        self.reconnects.fetch_add(1, Ordering::Relaxed);
    }
}

/// Counts as queued for as long as it lives, however that ends: written, given up, or lost with its connection.
#[derive(Debug)]
pub(crate) struct Waits(Arc<Counts>);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.queued.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_channel_is_counted_by_itself() {
        let traffic = Traffic::default();
        for (number, channel) in (1..).zip(Channel::ALL) {
            (0..number).for_each(|_| traffic.counts(channel).refused());
        }
        assert_eq!(Channel::ALL.map(|channel| traffic.of(channel).refused), [1, 2, 3, 4, 5, 6]);
        traffic.counts(Channel::Bulk).dropped();
        traffic.counts(Channel::Bulk).reconnected();
        let bulk = ChannelTraffic { queued: 0, refused: 6, dropped: 1, reconnects: 1 };
        assert_eq!(traffic.of(Channel::Bulk), bulk);
    }

    #[test]
    fn what_waits_is_counted_until_it_has_gone() {
        let traffic = Traffic::default();
        let queued = || traffic.of(Channel::Inference).queued;
        let first = traffic.counts(Channel::Inference).waits();
        let second = traffic.counts(Channel::Inference).waits();
        assert_eq!(queued(), 2);
        drop(first);
        assert_eq!(queued(), 1);
        drop(second);
        assert_eq!(queued(), 0);
    }
}
