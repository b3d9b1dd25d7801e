//! What was acknowledged is there when all faults have ended.

use crate::finding::Finding;
use crate::invariant::acknowledged_writes_survive;
use crate::traffic::Recording;

/// Judges the final reads.
pub fn check(recording: &Recording) -> Finding {
    let counts = recording.history.counts();
    let mut broken: Vec<String> =
        acknowledged_writes_survive(&recording.history, recording.healed_ns).iter().map(ToString::to_string).collect();
    if !recording.unread.is_empty() {
        broken.push(format!(
            "the final reads of {} keys were not answered: {}",
            recording.unread.len(),
            recording.unread.join(" ")
        ));
    }
    if counts.writes == 0 {
        broken.push("no write was acknowledged: nothing was tested".to_owned());
    }
    Finding::new(
        "acknowledged writes survive",
        format!("{} acknowledged writes on {} keys", counts.writes, counts.keys),
        broken,
    )
}
