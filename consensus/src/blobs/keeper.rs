//! Keeps on this node what runs, programs and executions refer to: what it lacks, because it was away or came later, it fetches.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dspex_model::{Digest, RunId, State};
use tokio::sync::watch;

use crate::consensus::Consensus;

/// Between looks; what is named in the meantime most nodes have already.
const PAUSE: Duration = Duration::from_millis(500);

/// Blobs asked for at once.
const FETCHED_AT_ONCE: usize = 256;

/// Blobs of executions that nobody has at the moment; behind these it is not looked any further.
const MISSING_MAX: usize = 10_000;

/// How complete this node is: what it lacked when its state was at an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lacking {
    /// The state's last entry at that look.
    pub(crate) index: u64,
    /// Blobs that the state refers to and this node does not have.
    pub(crate) blobs: u64,
}

impl Lacking {
    /// Before the first look nobody knows.
    pub(crate) const UNKNOWN: Self = Self { index: 0, blobs: u64::MAX };
}

/// Runs until the node stops.
pub(crate) async fn run(consensus: Consensus, told: watch::Sender<Lacking>) {
    let mut progress = consensus.watch();
    let mut looked = Looked::default();
    loop {
        // The disk has all that is told here; the state may have more.
        let index = *progress.borrow_and_update();
        let (wanted, oldest) = consensus.read_applied(|_, state| (looked.news(state), state.oldest_execution()));
        let of_runs = look(&consensus, &mut looked, wanted).await;
        let lacking = of_runs + looked.executions.look(&consensus, oldest).await;
        told.send_replace(Lacking { index, blobs: lacking });
        tokio::time::sleep(PAUSE).await;
        let stopped = if lacking > 0 { progress.has_changed().is_err() } else { progress.changed().await.is_err() };
        if stopped {
            return;
        }
    }
}

/// Fetches what is wanted. Returns how many blobs are still not here.
async fn look(consensus: &Consensus, looked: &mut Looked, wanted: Wanted) -> u64 {
    let mut lacking = 0;
    for (run, (seen, blobs)) in wanted.of_runs {
        let lacks = fetch(consensus, &blobs).await;
        if lacks == 0 {
            looked.complete.insert(run, seen);
        }
        lacking += lacks;
    }
    let lacks = fetch(consensus, &wanted.of_programs).await;
    if lacks == 0 {
        looked.of_programs.extend(wanted.of_programs);
    }
    lacking + lacks
}

/// Returns how many of these blobs are still not here.
async fn fetch(consensus: &Consensus, blobs: &[Digest]) -> u64 {
    let mut lacks = 0;
    for chunk in blobs.chunks(FETCHED_AT_ONCE) {
        if let Err(error) = consensus.obtain(chunk.iter().copied()).await {
            tracing::debug!(%error, "a blob is still missing here");
            lacks += still_missing(consensus, chunk).await;
        }
    }
    lacks
}

async fn still_missing(consensus: &Consensus, digests: &[Digest]) -> u64 {
    let (store, digests) = (consensus.blobs().clone(), digests.to_vec());
    let look = move || store.missing(&digests, None).map_or(digests.len(), |missing| missing.len());
    tokio::task::spawn_blocking(look).await.unwrap_or(1) as u64
}

/// What distinguishes a run whose blobs are all here from one that has got others since.
type Seen = (u64, u32);

/// Blobs that may not be here.
struct Wanted {
    of_runs: BTreeMap<RunId, (Seen, Vec<Digest>)>,
    of_programs: Vec<Digest>,
}

/// What was all here at an earlier look: a run is looked at again when it has got results, and a program's blob is one.
#[derive(Debug, Default)]
struct Looked {
    complete: BTreeMap<RunId, Seen>,
    executions: LookedExecutions,
    of_programs: BTreeSet<Digest>,
}

/// The executions whose blobs were looked for already.
#[derive(Debug, Default)]
struct LookedExecutions {
    /// The first one that was not.
    next: u64,
    /// Blobs that were not here, each with an execution that refers to it.
    missing: BTreeMap<Digest, u64>,
}

impl LookedExecutions {
    /// Fetches what was missing and what is referred to since. Returns how many blobs are still not here.
    async fn look(&mut self, consensus: &Consensus, oldest: u64) -> u64 {
        self.missing.retain(|_, execution| *execution >= oldest);
        let missing: Vec<Digest> = self.missing.keys().copied().collect();
        for chunk in missing.chunks(FETCHED_AT_ONCE) {
            let still = obtain(consensus, chunk).await;
            for digest in chunk.iter().filter(|digest| !still.contains(digest)) {
                self.missing.remove(digest);
            }
        }
        while self.missing.len() < MISSING_MAX {
            let named = match consensus.named_by_executions(self.next.max(oldest)).await {
                Ok(named) => named,
                Err(error) => {
                    tracing::warn!(%error, "what executions refer to cannot be looked up");
                    return self.missing.len() as u64 + 1;
                }
            };
            let Some((last, _)) = named.last() else { return self.missing.len() as u64 };
            self.next = last + 1;
            for chunk in named.chunks(FETCHED_AT_ONCE) {
                let digests: Vec<Digest> = chunk.iter().map(|(_, digest)| *digest).collect();
                let still = obtain(consensus, &digests).await;
                let missing = chunk.iter().filter(|(_, digest)| still.contains(digest));
                self.missing.extend(missing.map(|(execution, digest)| (*digest, *execution)));
            }
        }
        // Nobody knows what comes behind them.
        self.missing.len() as u64 + 1
    }
}

/// Fetches blobs. Gives those that are still not here.
async fn obtain(consensus: &Consensus, digests: &[Digest]) -> Vec<Digest> {
    if consensus.obtain(digests.iter().copied()).await.is_ok() {
        return Vec::new();
    }
    // One that nobody has must not keep the others away.
    let mut missing = Vec::new();
    for digest in digests {
        if let Err(error) = consensus.obtain([*digest]).await {
            tracing::debug!(%error, "a blob of an execution is still missing here");
            missing.push(*digest);
        }
    }
    missing
}

impl Looked {
    /// The blobs of runs that have changed since they were complete, and those of programs that were not there yet.
    fn news(&mut self, state: &State) -> Wanted {
        self.complete.retain(|run, _| state.run(*run).is_some());
        self.of_programs.retain(|digest| state.program_names_blob(digest));
        let changed = state.runs().filter_map(|(id, run)| {
            let seen = (run.progress.generation, run.progress.done);
            let known = self.complete.get(&id) == Some(&seen);
            (!known).then(|| (id, (seen, run.blobs().collect())))
        });
        let of_programs = state.program_blobs().filter(|digest| !self.of_programs.contains(digest)).collect();
        Wanted { of_runs: changed.collect(), of_programs }
    }
}
