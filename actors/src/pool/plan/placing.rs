//! Which worker gets the next call.

use std::collections::BTreeMap;

use super::WorkerKey;
use super::commands::Command;
use super::worker::Worker;

/// What may wait inside a worker takes at most this long.
pub(super) const BACKLOG_MAX_US: f64 = 5_000.0;
/// And it is at most so many calls.
pub(super) const BACKLOG_MAX: usize = 64;

/// What there is for a call.
pub(super) enum Place {
    Worker(WorkerKey),
    /// It only computes, and every CPU does.
    NoCpu,
    NoWorker,
}

/// The worker that gets the next call: an empty one for a call that must run alone, else one with a free thread, else the one
/// that will be through soonest, if that is soon. `quick` is `None` for a call that must not wait inside a worker.
pub(super) fn place(
    workers: &BTreeMap<WorkerKey, Worker>,
    cpus: usize,
    alone: bool,
    quick: Option<Command>,
    now_us: u64,
) -> Place {
    if alone {
        let empty =
            workers.iter().find(|(_, worker)| worker.assigned.is_empty() && (worker.is_open() || worker.is_kept()));
        return empty.map_or(Place::NoWorker, |(&key, _)| Place::Worker(key));
    }
    let open = || workers.iter().filter(|(_, worker)| worker.is_open());
    let must_share = quick.is_some_and(Command::computes)
        && workers.values().filter(|worker| worker.computes(now_us)).count() >= cpus;
    let free = open().filter(|(_, worker)| worker.has_free_thread() && !must_share);
    if let Some((&key, _)) = free.min_by_key(|(_, worker)| worker.assigned.len() * 1000 / worker.threads) {
        return Place::Worker(key);
    }
    let full = if must_share { Place::NoCpu } else { Place::NoWorker };
    let Some(Command { own_us, .. }) = quick else { return full };
    let room = |worker: &Worker| {
        !worker.assigned.is_empty()
            && worker.assigned.len() < worker.threads + BACKLOG_MAX
            && worker.backlog_us + own_us <= BACKLOG_MAX_US
            && !worker.is_stalled(now_us)
    };
    let with_room = open().filter(|(_, worker)| room(worker));
    let soonest = with_room.min_by(|(_, one), (_, other)| one.backlog_us.total_cmp(&other.backlog_us));
    soonest.map_or(full, |(&key, _)| Place::Worker(key))
}
