//! Faults, one after the other, while a run is under way; and how far the run was before each of them.

use std::thread::sleep;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::account::Disturbance;
use super::asking;
use crate::cluster::Cluster;
use crate::scenario::SETTLE_LIMIT;
use crate::schedule::{Schedule, Step};
use crate::stage::{Landed, OwnCluster, Stage};
use crate::target;

/// What happened to the schedule.
#[derive(Debug, Default)]
pub(super) struct Disturbed {
    pub(super) landed: Landed,
    pub(super) not_landed: Vec<String>,
    pub(super) wrong: Vec<String>,
    pub(super) disturbances: Vec<Disturbance>,
}

/// Makes the faults of a schedule, as far as the run lasts.
pub(super) fn disturb(schedule: &Schedule, cluster: &mut Cluster, run: &str) -> Disturbed {
    let begun = Instant::now();
    let mut disturbed = Disturbed::default();
    let mut stage = OwnCluster::new(cluster);
    for step in &schedule.steps {
        sleep(step.at.saturating_sub(begun.elapsed()));
        if !target::is_whole_within(stage.target(), SETTLE_LIMIT) {
            let (fault, seconds) = (&step.fault, SETTLE_LIMIT.as_secs());
            let told = format!("before {fault} the voters did not agree on a leader within {seconds} s");
            disturbed.wrong.push(told);
        }
        // A fault after the end tests nothing.
        if is_over(&stage, run) {
            break;
        }
        disturbed.bear(step, &mut stage, run);
    }
    if !target::is_whole_within(stage.target(), SETTLE_LIMIT) {
        let told = format!("after the faults the voters did not agree on a leader within {} s", SETTLE_LIMIT.as_secs());
        disturbed.wrong.push(told);
    }
    disturbed
}

impl Disturbed {
    fn bear(&mut self, Step { lasts, fault, .. }: &Step, stage: &mut OwnCluster<'_>, run: &str) {
        let recorded = match asking::recorded(stage.target(), run) {
            Ok(recorded) => recorded,
            Err(error) => {
                let told = format!("before {fault} nobody could say which examples had a result: {error}");
                return self.not_landed.push(told);
            }
        };
        let began_ns = unix_ns();
        let landed = stage.begin(fault);
        if landed.is_ok() {
            sleep(*lasts);
        }
        match stage.end(fault) {
            Ok(wrong) => self.wrong.extend(wrong),
            Err(error) => self.wrong.push(format!("{fault} could not be put back: {error}")),
        }
        match landed {
            Ok(()) => self.landed.count(fault),
            // Its workers are gone with it.
            Err(_) if is_over(stage, run) => return,
            Err(error) => self.not_landed.push(format!("{fault}: {error}")),
        }
        // Also one that landed by half may have ended something.
        let (fault, ended_ns) = (fault.to_string(), unix_ns());
        self.disturbances.push(Disturbance { fault, began_ns, ended_ns, recorded });
    }
}

/// As far as anybody says so.
fn is_over(stage: &OwnCluster<'_>, run: &str) -> bool {
    asking::run(stage.target(), run).is_ok_and(|run| asking::is_over(&run))
}

fn unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
