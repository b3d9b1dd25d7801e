//! A node without a vote says that it is there, for so long. One that says so for no time at all leaves. Whoever comes, or comes
//! back, takes work again, if it was drained before.

use crate::record::{Key, Record};
use crate::state::Decision;
use crate::{NodeId, NodeInfo, NodeLease, Outcome, State};

/// Longer leases are cut: a node that vanished is shown as one that works until its lease ends.
const TTL_MAX_MS: u64 = 10 * 60 * 1000;
/// Leases that ended so long ago are forgotten; until then people see what has vanished.
const KEPT_MS: u64 = 24 * 3600 * 1000;
/// As many are forgotten by one command, so that none does much.
const FORGOTTEN_MAX: usize = 16;

pub(crate) fn lease_node(state: &State, node: NodeId, info: &NodeInfo, ttl_ms: u64) -> Decision {
    let now_ms = state.log_time_ms();
    let old = state.leases().filter(|(other, lease)| *other != node && lease.until_ms + KEPT_MS < now_ms);
    let forgotten = |(other, _)| [Some(Key::NodeLease(other)), super::drained(state, other)];
    let mut removed: Vec<Key> = old.take(FORGOTTEN_MAX).flat_map(forgotten).flatten().collect();
    if ttl_ms == 0 || state.lease(node).is_none_or(|lease| !lease.holds(now_ms)) {
        removed.extend(super::drained(state, node));
    }
    let mut decision = Decision::new(Outcome::Done);
    if ttl_ms == 0 {
        removed.extend(state.lease(node).map(|_| Key::NodeLease(node)));
    } else {
        let admitted_ms = state.lease(node).map_or(now_ms, |known| known.admitted_ms);
        let until_ms = now_ms + ttl_ms.min(TTL_MAX_MS);
        let lease = NodeLease { info: info.clone(), admitted_ms, until_ms };
        decision = decision.write(Record::NodeLease(node, lease));
    }
    decision.removed = removed;
    decision
}
