//! A session with a lifetime never ends early, and is gone soon after its time.

use crate::finding::Finding;
use crate::traffic::Lifetime;

/// The book promises about a second where there is a quorum; the rest is for a machine that does other things as well.
const LATE_NS: u64 = 5_000_000_000;

/// `ended_ns`: all faults had ended then, and the nodes agreed on a leader.
pub fn check(lifetimes: &[Lifetime], ended_ns: u64) -> Finding {
    let broken: Vec<String> = lifetimes.iter().filter_map(|lifetime| wrong(lifetime, ended_ns)).collect();
    let gone = lifetimes.iter().filter(|lifetime| lifetime.missing_ns.is_some()).count();
    let broken = if gone == 0 && broken.is_empty() {
        vec!["no session was seen to end by itself: nothing was tested".to_owned()]
    } else {
        broken
    };
    Finding::new("lifetimes hold", format!("{gone} sessions that ended by themselves"), broken)
}

fn wrong(lifetime: &Lifetime, ended_ns: u64) -> Option<String> {
    let Lifetime { key, ttl_ns, invoked_ns, made_ns, found_ns, missing_ns } = lifetime;
    // Not made before it was asked for, and not found missing after that was answered.
    let lived_ns = missing_ns.map(|missing| missing.saturating_sub(*invoked_ns));
    if let Some(lived) = lived_ns.filter(|lived| lived < ttl_ns) {
        return Some(format!("{key} was gone after {} of {} ms", lived / 1_000_000, ttl_ns / 1_000_000));
    }
    // While nodes are broken log time may stand still.
    let over_ns = (made_ns + ttl_ns).max(ended_ns);
    let late_ns = found_ns.and_then(|found| found.checked_sub(over_ns)).filter(|late| *late > LATE_NS)?;
    Some(format!("{key} was still there {} ms after its time and the last fault", late_ns / 1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn judge(found_s: Option<u64>, missing_s: Option<u64>, ended_s: u64) -> Finding {
        let lifetime = Lifetime {
            key: "k".to_owned(),
            ttl_ns: 2 * SECOND,
            invoked_ns: 10 * SECOND,
            made_ns: 11 * SECOND,
            found_ns: found_s.map(|at| at * SECOND),
            missing_ns: missing_s.map(|at| at * SECOND),
        };
        check(&[lifetime], ended_s * SECOND)
    }

    #[test]
    fn an_early_end_a_late_one_and_none_at_all_are_seen() {
        assert!(judge(Some(12), Some(13), 0).is_kept());
        assert!(!judge(Some(10), Some(11), 0).is_kept(), "a second early");
        assert!(judge(Some(17), Some(18), 0).is_kept());
        assert!(!judge(Some(19), Some(20), 0).is_kept(), "six seconds late");
        assert!(judge(Some(30), Some(31), 26).is_kept(), "time stood still during a fault");
        assert!(!judge(Some(40), None, 30).is_kept(), "never");
        assert!(!judge(None, None, 0).is_kept());
        assert!(!check(&[], 0).is_kept(), "nothing was tested");
    }
}
