//! The channels between two nodes, and what each does when it is full.

/// What a connection is for. The numbers are on the wire, and never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Channel {
    /// Raft, and proposals on their way to the leader.
    Consensus = 1,
    /// Orders, leases, presence.
    Coordination = 2,
    /// Work for remote pools and sessions.
    Inference = 3,
    /// What may be lost: prints of workers, on their way to those who follow their run.
    Telemetry = 4,
    /// What a run has to say, to those who follow it at other nodes, and its questions to its driver.
    RealTime = 5,
    /// Blobs, snapshots, bundles.
    Bulk = 6,
}

/// What happens to a message for which there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// The sender waits, within its time limit.
    Wait,
    /// The sender is told at once.
    Refuse,
    /// It is dropped and counted.
    Drop,
}

/// How a channel is bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// The longest frame in bytes.
    pub frame_max: usize,
    /// Frames that may wait to be written.
    pub queue: usize,
    /// Bytes that may wait to be written.
    pub queue_bytes: usize,
    /// Requests of a peer that may be under way here at once.
    pub in_flight: usize,
    /// What happens beyond.
    pub when_full: WhenFull,
}

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

impl Channel {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Consensus, Self::Coordination, Self::Inference, Self::Telemetry, Self::RealTime, Self::Bulk];

    /// Its name for people and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Consensus => "consensus",
            Self::Coordination => "coordination",
            Self::Inference => "inference",
            Self::Telemetry => "telemetry",
            Self::RealTime => "real_time",
            Self::Bulk => "bulk",
        }
    }

    /// The channel with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|channel| *channel as u8 == number)
    }

    /// How it is bounded.
    pub fn policy(self) -> Policy {
        let policy = |frame_max, queue, queue_bytes, in_flight, when_full| Policy {
            frame_max,
            queue,
            queue_bytes,
            in_flight,
            when_full,
        };
        match self {
            // A batch of proposals takes 1 MiB, and one of entries that a follower lacks a few.
            Self::Consensus => policy(8 * MIB, 4096, 16 * MIB, 4096, WhenFull::Wait),
            // A stream of bytes, of which none may be missing.
            Self::Coordination => policy(64 * KIB, 64, 4 * MIB, 16, WhenFull::Wait),
            Self::Inference => policy(32 * MIB, 256, 64 * MIB, 256, WhenFull::Refuse),
            Self::Telemetry => policy(MIB, 256, 4 * MIB, 16, WhenFull::Drop),
            // A question of user code to its driver carries a pickled prediction.
            Self::RealTime => policy(32 * MIB + 4 * KIB, 256, 64 * MIB, 256, WhenFull::Wait),
            Self::Bulk => policy(MIB + 4 * KIB, 16, 4 * MIB, 16, WhenFull::Wait),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_have_numbers_of_their_own() {
        for channel in Channel::ALL {
            assert_eq!(Channel::from_number(channel as u8), Some(channel));
        }
        assert_eq!((Channel::from_number(0), Channel::from_number(7)), (None, None));
    }

    #[test]
    fn the_longest_frame_finds_room_in_an_empty_queue() {
        for channel in Channel::ALL {
            let policy = channel.policy();
            assert!(policy.frame_max <= policy.queue_bytes, "{}", channel.name());
        }
    }
}
