//! How one simulation differs from the next: sizes, speeds and limits, drawn from the seed.

use std::ops::Range;
use std::time::Duration;

use tokio::Random;

/// The Unix milliseconds at which every simulation begins.
pub(crate) const EPOCH_MS: u64 = 1_790_000_000_000;

/// What a leader shows of its life, and when others stand for election: dspex-consensus's defaults.
pub(crate) const HEARTBEAT_MS: u64 = 100;
pub(crate) const ELECTION_MS: (u64, u64) = (250, 500);

/// How long a leader believes that it still leads after a quorum has last answered it: openraft's choice.
pub(crate) const LEASE: Duration = Duration::from_millis(ELECTION_MS.1);

/// Silence on a connection after which it is given up: dspex-transport's default.
pub(crate) const CONNECTION_DOWN: Duration = Duration::from_secs(3);

/// After the last fault the cluster must be whole again within this time.
pub(crate) const HEALING_LIMIT: Duration = Duration::from_secs(40);

const fn micros(range: Range<u64>) -> Range<Duration> {
    Duration::from_micros(range.start)..Duration::from_micros(range.end)
}

/// One simulation's circumstances.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Nodes that form the cluster: 1 to `voters`.
    pub(crate) voters: u64,
    /// Further nodes that may be taken in.
    pub(crate) spares: u64,
    pub(crate) clients: u64,
    pub(crate) sessions: u64,
    /// How long faults go on.
    pub(crate) chaos: Duration,
    /// Entries after which a snapshot is made. The product counts bytes.
    pub(crate) snapshot_entries: u64,
    /// Entries kept after a snapshot: few, so that whoever is behind needs one.
    pub(crate) kept_entries: u64,
    pub(crate) purge_batch: u64,
    /// Entries read at once where a part is enough.
    pub(crate) read_entries: u64,
    /// What a sync of the log takes.
    pub(crate) flush: Range<Duration>,
    /// How many syncs in a thousand are slow, and how slow.
    pub(crate) stalls_per_mille: u64,
    pub(crate) stall: Range<Duration>,
    /// What a message takes.
    pub(crate) delay: Range<Duration>,
    /// How many messages in a thousand are lost, with their connection, or late.
    pub(crate) lost_per_mille: u64,
    pub(crate) late_per_mille: u64,
    pub(crate) late: Range<Duration>,
    /// What a node takes to fetch a blob from another: they are large, or small.
    pub(crate) fetch: Range<Duration>,
    /// How long a proposal or a read may take.
    pub(crate) time_limit: Duration,
    /// The pause of a client between two operations.
    pub(crate) think: Range<Duration>,
}

impl Settings {
    pub(crate) fn draw(seed: u64) -> Self {
        let mut random = Random::stream(seed, "settings");
        let pick = |random: &mut Random, among: &[u64]| random.choose(among).copied().unwrap_or_default();
        let think = pick(&mut random, &[20, 60, 200]);
        let (flush, delay) = (pick(&mut random, &[300, 3_000, 15_000]), pick(&mut random, &[500, 2_000, 20_000]));
        Self {
            voters: pick(&mut random, &[1, 3, 3, 3, 3, 4, 5, 5]),
            spares: random.within(0..4),
            clients: random.within(2..6),
            sessions: random.within(1..6),
            chaos: Duration::from_secs(random.within(15..40)),
            snapshot_entries: pick(&mut random, &[10, 30, 100, 300]),
            kept_entries: pick(&mut random, &[0, 1, 5, 30]),
            purge_batch: pick(&mut random, &[1, 1, 8]),
            read_entries: pick(&mut random, &[1, 7, 64]),
            flush: micros(flush / 10..flush),
            stalls_per_mille: pick(&mut random, &[0, 5, 30]),
            stall: micros(20_000..600_000),
            delay: micros(delay / 10..delay),
            lost_per_mille: pick(&mut random, &[0, 0, 2, 10]),
            late_per_mille: pick(&mut random, &[0, 2, 10]),
            late: micros(50_000..4_000_000),
            fetch: micros(0..pick(&mut random, &[1, 20_000, 100_000])),
            time_limit: Duration::from_secs(pick(&mut random, &[2, 5, 10])),
            think: Duration::from_millis(think / 4)..Duration::from_millis(think * 2),
        }
    }

    /// Every node that there may be.
    pub(crate) fn nodes(&self) -> Range<u64> {
        1..self.voters + self.spares + 1
    }
}
