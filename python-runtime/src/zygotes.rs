//! The zygotes of a node: one for each environment that is in use, started when it is first asked for.

mod backoff;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::environment::{Environment, digest, startup_environment};
use crate::facts::{self, Facts};
use crate::package::Package;
use crate::registry::Registry;
use crate::sandbox::Sandbox;
use crate::zygote::{Launch, StartError, Zygote, start};
use backoff::Backoff;

/// Bounds on zygotes.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From the start of the interpreter until dspy is imported.
    pub start: Duration,
    /// Zygotes at once; each holds dspy in memory. One without workers makes room for another.
    pub zygotes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { start: Duration::from_secs(60), zygotes: 8 }
    }
}

/// The zygotes of a node. Clones are the same ones.
#[derive(Debug, Clone)]
pub struct Zygotes {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    package: Package,
    registry: Registry,
    limits: Limits,
    sandbox: Option<Arc<Sandbox>>,
    slots: Mutex<HashMap<Key, Slot>>,
}

/// An interpreter and the digest of a start-up environment.
type Key = (PathBuf, String);

type Outcome = Option<Result<Zygote, StartError>>;

#[derive(Debug)]
struct Slot {
    state: State,
    backoff: Backoff,
    used: Instant,
}

#[derive(Debug)]
enum State {
    Idle,
    Starting(watch::Receiver<Outcome>),
    Running(Zygote),
}

impl Zygotes {
    /// Without any zygote yet. With a sandbox no worker runs outside of it.
    pub fn new(package: Package, registry: Registry, limits: Limits, sandbox: Option<Arc<Sandbox>>) -> Self {
        Self { shared: Arc::new(Shared { package, registry, limits, sandbox, slots: Mutex::default() }) }
    }

    /// The zygote for an interpreter and a caller's whole environment: the running one, or a new one. Callers who ask for the
    /// same one at once share one start and its outcome. After a crash or a failed start the next start waits a little,
    /// longer each time.
    pub async fn zygote(&self, interpreter: &Path, environment: &Environment) -> Result<Zygote, StartError> {
        let environment = match &self.shared.sandbox {
            None => startup_environment(environment),
            Some(sandbox) => {
                if let Some(why) = sandbox.refuses_interpreter(interpreter) {
                    return Err(StartError::NotOurs(why));
                }
                // What a caller sets reaches the worker, after the fork.
                startup_environment(sandbox.environment())
            }
        };
        let key = (interpreter.to_path_buf(), digest(&environment));
        let mut outcome = match self.claim(key, environment)? {
            Claim::Running(zygote) => return Ok(zygote),
            Claim::Starting(outcome) => outcome,
        };
        let outcome = outcome.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone());
        outcome.unwrap_or(Err(StartError::Stopping))
    }

    /// What an interpreter says of itself and of what is installed for it. It imports nothing of that, and no zygote is started.
    ///
    /// # Errors
    /// Why it does not say it.
    pub async fn facts(&self, interpreter: &Path, environment: &Environment) -> Result<Facts, String> {
        let package = self.shared.package.clone();
        let verified = tokio::task::spawn_blocking(move || package.verify()).await;
        verified.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        facts::ask(interpreter, &startup_environment(environment), self.shared.package.directory()).await
    }

    /// Those that run.
    pub fn running(&self) -> Vec<Zygote> {
        let slots = self.slots();
        let running = slots.values().filter_map(|slot| match &slot.state {
            State::Running(zygote) if zygote.is_alive() => Some(zygote.clone()),
            _ => None,
        });
        running.collect()
    }

    /// Stops all with their workers.
    pub async fn stop(&self) {
        let stops: Vec<_> =
            self.running().into_iter().map(|zygote| tokio::spawn(async move { zygote.stop().await })).collect();
        self.slots().clear();
        for stop in stops {
            // A panic or a shutdown leaves nothing more to do here: the kernel ends them with this process.
            let _ = stop.await;
        }
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<Key, Slot>> {
        self.shared.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn claim(&self, key: Key, environment: Environment) -> Result<Claim, StartError> {
        let mut slots = self.slots();
        let now = Instant::now();
        if let Some(slot) = slots.get_mut(&key) {
            slot.used = now;
            match &slot.state {
                State::Running(zygote) if zygote.is_alive() => return Ok(Claim::Running(zygote.clone())),
                State::Starting(outcome) => return Ok(Claim::Starting(outcome.clone())),
                State::Running(_) => slot.backoff.ended(now),
                State::Idle => {}
            }
            slot.state = State::Idle;
        }
        make_room(&mut slots, &key, self.shared.limits.zygotes)?;
        let slot = slots.entry(key.clone()).or_insert_with(|| Slot {
            state: State::Idle,
            backoff: Backoff::new(now),
            used: now,
        });
        let (announce, outcome) = watch::channel(None);
        slot.state = State::Starting(outcome.clone());
        let not_before = slot.backoff.not_before();
        let zygotes = self.clone();
        // A task of its own: a caller that goes away must not take the start from the others.
        tokio::spawn(async move { zygotes.start(key, environment, not_before, announce).await });
        Ok(Claim::Starting(outcome))
    }

    async fn start(&self, key: Key, environment: Environment, not_before: Instant, announce: watch::Sender<Outcome>) {
        tokio::time::sleep_until(not_before.into()).await;
        let launch = Launch {
            interpreter: &key.0,
            environment: &environment,
            package: &self.shared.package,
            registry: &self.shared.registry,
            limit: self.shared.limits.start,
            sandbox: self.shared.sandbox.as_ref(),
        };
        let outcome = start(launch).await;
        if let Some(slot) = self.slots().get_mut(&key) {
            slot.state = match &outcome {
                Ok(zygote) => {
                    slot.backoff.started(Instant::now());
                    State::Running(zygote.clone())
                }
                Err(_) => {
                    slot.backoff.failed(Instant::now());
                    State::Idle
                }
            };
        }
        announce.send_replace(Some(outcome));
    }
}

enum Claim {
    Running(Zygote),
    Starting(watch::Receiver<Outcome>),
}

/// Keeps the number of zygotes within the limit: the one without workers that was not asked for the longest gives way.
fn make_room(slots: &mut HashMap<Key, Slot>, wanted: &Key, limit: usize) -> Result<(), StartError> {
    // A failed start is remembered for its back-off only.
    slots.retain(|key, slot| key == wanted || !slot.is_forgettable());
    let occupied = slots.iter().filter(|(key, slot)| *key != wanted && slot.is_occupied()).count();
    if occupied < limit {
        return Ok(());
    }
    let idle = slots
        .iter()
        .filter(|(_, slot)| matches!(&slot.state, State::Running(zygote) if zygote.workers() == 0))
        .min_by_key(|(_, slot)| slot.used)
        .map(|(key, _)| key.clone());
    // Dropping the last clone stops it.
    idle.and_then(|key| slots.remove(&key)).map(|_| ()).ok_or(StartError::TooMany(limit))
}

impl Slot {
    fn is_occupied(&self) -> bool {
        match &self.state {
            State::Idle => false,
            State::Starting(_) => true,
            State::Running(zygote) => zygote.is_alive(),
        }
    }

    fn is_forgettable(&self) -> bool {
        !self.is_occupied() && self.used.elapsed() > Duration::from_secs(60)
    }
}
