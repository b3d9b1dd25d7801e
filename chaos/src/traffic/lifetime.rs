//! Sessions that are left to end by themselves.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::sleep;

use super::client::Client;
use crate::{Action, Outcome};

/// How many are watched at a time.
pub(super) const WATCHERS: u64 = 4;
const TTL: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(100);
/// Who is still there so long after the traffic's end is not waited for: the promise tells.
const LONGEST_NS: u64 = 30_000_000_000;

/// What was seen of one session. All times by the clock of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// Its id.
    pub key: String,
    /// How long it has to live, in nanoseconds.
    pub ttl_ns: u64,
    /// When it was asked for.
    pub invoked_ns: u64,
    /// When that was acknowledged.
    pub made_ns: u64,
    /// When the last linearizable read that still found it was asked for.
    pub found_ns: Option<u64>,
    /// When the first linearizable read that did not find it was answered.
    pub missing_ns: Option<u64>,
}

/// Makes sessions, one after the other, and looks until each is gone.
pub(super) async fn watch(mut client: Client) {
    let mut number = 0_u64;
    while !client.shared.stopped.load(Ordering::Relaxed) {
        number += 1;
        if let Some(lifetime) = one(&mut client, number).await {
            client.shared.lifetimes.lock().unwrap_or_else(PoisonError::into_inner).push(lifetime);
        }
    }
}

/// One session. `None`: nobody knows whether there was one.
async fn one(client: &mut Client, number: u64) -> Option<Lifetime> {
    client.move_on();
    let key = format!("{}-lives-{}-{number}", client.shared.run, client.number());
    let ttl_ms = u64::try_from(TTL.as_millis()).ok();
    let create = Action::Create { value: number.to_string() };
    let (made, _) = client.perform(key.clone(), create, ttl_ms).await;
    if !matches!(made.outcome, Outcome::Written { .. }) {
        // Without this a cluster that answers nothing is asked without a pause.
        sleep(LOOK).await;
        return None;
    }
    let mut lifetime = Lifetime {
        key: key.clone(),
        ttl_ns: u64::try_from(TTL.as_nanos()).unwrap_or(u64::MAX),
        invoked_ns: made.invoked_ns,
        made_ns: made.completed_ns,
        found_ns: None,
        missing_ns: None,
    };
    let mut told_to_stop_ns = None;
    loop {
        sleep(LOOK).await;
        client.move_on();
        let (looked, _) = client.perform(key.clone(), Action::Get, None).await;
        match looked.outcome {
            Outcome::Found { .. } => lifetime.found_ns = Some(looked.invoked_ns),
            Outcome::Missing => {
                lifetime.missing_ns = Some(looked.completed_ns);
                return Some(lifetime);
            }
            _ => {}
        }
        if client.shared.stopped.load(Ordering::Relaxed) {
            let told = *told_to_stop_ns.get_or_insert(looked.completed_ns);
            if looked.completed_ns.saturating_sub(told) > LONGEST_NS {
                return Some(lifetime);
            }
        }
    }
}
