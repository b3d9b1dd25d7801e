//! One simulation from its begin to its end.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tokio::{Executor, Group, fingerprint, spawn_in, steps, sync, take_panics};

use crate::clients::Clients;
use crate::cluster::Cluster;
use crate::handle::Failure;
use crate::mutant::Mutant;
use crate::observer::{Observer, Violation};
use crate::plan::{self, CALM};
use crate::settings::Settings;
use crate::statistics::Statistics;
use crate::traps::Traps;
use crate::wires::Wires;
use crate::world::World;
use crate::{faults, healing, start};

/// Longer than any simulation; one that takes longer hangs.
const LONGEST: Duration = Duration::from_secs(600);

/// Longer than changes of the members are apart.
const SLOW_FETCH: Duration = Duration::from_secs(3);

/// What is to be simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Simulation {
    seed: u64,
    mutant: Option<Mutant>,
    traces: bool,
}

/// What a simulation came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Repeats it, with the same mutant.
    pub seed: u64,
    /// The promise that was broken, if one was.
    pub violation: Option<Violation>,
    /// What it did.
    pub statistics: Statistics,
    /// Equal for equal runs: a digest of which task went on when, and of what was committed.
    pub fingerprint: u64,
    /// Circumstances and faults, for people.
    pub plan: String,
    /// Everything that was seen, where it was asked for.
    pub trace: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.trace.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        writeln!(f, "seed {}, fingerprint {:016x}", self.seed, self.fingerprint)?;
        match &self.violation {
            Some(violation) => write!(f, "{}{}", self.plan, violation),
            None => write!(f, "{}", self.statistics),
        }
    }
}

impl Simulation {
    /// The simulation of a seed.
    pub fn new(seed: u64) -> Self {
        Self { seed, mutant: None, traces: false }
    }

    /// The same, with a protection taken away; and with more crashes where that shows.
    #[must_use]
    pub fn without(self, mutant: Mutant) -> Self {
        Self { mutant: Some(mutant), ..self }
    }

    /// The same, with everything that was seen in its report.
    #[must_use]
    pub fn traced(self) -> Self {
        Self { traces: true, ..self }
    }

    /// Runs it.
    pub fn run(self) -> Report {
        Executor::new(self.seed).block_on(self.live())
    }

    async fn live(self) -> Report {
        let mut settings = Settings::draw(self.seed);
        if self.mutant == Some(Mutant::VotesWithoutCopies) {
            // What nobody waits for any more takes long enough to be missed.
            settings.fetch = Duration::ZERO..SLOW_FETCH;
        }
        let events = plan::draw(self.seed, &settings, self.mutant.and_then(Mutant::moment));
        let plan = format!("{settings:#?}\n{}", events.iter().map(|event| format!("{event}\n")).collect::<String>());
        let (caught, catches) = sync::mpsc::unbounded_channel();
        let world = Arc::new(World {
            seed: self.seed,
            wires: Wires::new(self.seed, &settings),
            settings,
            mutant: self.mutant,
            begun: Instant::now(),
            observer: Observer::new(self.traces),
            traps: Traps::new(caught),
        });
        let cluster = Cluster::new(Arc::clone(&world));
        // On its own, so that a violation ends the simulation at once, whatever it waits for.
        let story = spawn_in(Group::WORLD, story(cluster.clone(), events, catches));
        if timeout(LONGEST, ended(&world, story)).await.is_err() {
            world.observer.violated("healing", format!("the simulation has not ended after {LONGEST:?}"));
        }
        for (group, message) in take_panics() {
            world.observer.violated("no_panic", format!("a task of group {} panicked: {message}", group.0));
        }
        let (mut statistics, trace) = world.observer.finish();
        statistics.close(steps(), world.elapsed_ms());
        cluster.end();
        let violation = world.observer.violation();
        let fingerprint = fingerprint()
            ^ world.observer.committed(|committed| committed.entries().last().map_or(0, |entry| entry.fingerprint));
        Report { seed: self.seed, violation, statistics, fingerprint, plan, trace }
    }
}

/// Until the story has ended, or something is wrong.
async fn ended(world: &World, mut story: tokio::JoinHandle<()>) {
    loop {
        let ended = timeout(Duration::from_millis(50), &mut story).await.is_ok();
        if ended || world.observer.violation().is_some() {
            return;
        }
    }
}

/// A cluster is formed, things go wrong, and it heals.
async fn story(
    cluster: Cluster,
    events: Vec<plan::Event>,
    catches: sync::mpsc::UnboundedReceiver<crate::traps::Caught>,
) {
    let voters = cluster.world.settings.voters;
    for node in 1..=voters {
        cluster.start(node).await;
    }
    let form = |handle: crate::handle::Handle| async move {
        start::form(&handle.raft, voters).await.map_err(|_| Failure::NotDone)
    };
    if cluster.ask(1, Duration::from_secs(10), form).await.is_err() {
        return cluster.world.observer.violated("healing", "the cluster could not be formed".to_owned());
    }
    let among_faults = Arc::<AtomicBool>::default();
    let clients = Clients::start(&cluster, &among_faults);
    sleep(CALM).await;
    among_faults.store(true, Ordering::Relaxed);
    faults::perform(&cluster, events, catches).await;
    among_faults.store(false, Ordering::Relaxed);
    cluster.world.wires.calm();
    clients.finish().await;
    if let Err(detail) = healing::heal(&cluster).await {
        cluster.world.observer.violated("healing", detail);
    }
}

/// The invariants that a control may break, by their names: a violation of another would prove nothing of it.
pub fn broken_by(mutant: Mutant) -> BTreeSet<&'static str> {
    let names: &[&str] = match mutant {
        Mutant::AcknowledgesUnsynced => &["committed_entries_survive", "log_matching", "acknowledged_writes_survive"],
        Mutant::VotesUnsynced => &["votes_never_go_back", "one_leader_per_term", "log_matching"],
        Mutant::ReadsWithoutIndex => &["reads_are_linearizable"],
        Mutant::ForgetsRequests => &["requests_execute_once"],
        Mutant::InstallsTruncated => &["states_agree"],
        // A state that is ahead of its log is taken for a log that has lost entries.
        Mutant::AppliesUnsynced | Mutant::KeepsSnapshotsLate | Mutant::DemandsWholeLogs => &["nodes_stay_usable"],
        Mutant::LeavesChangesHalfway => &["healing"],
        Mutant::HoldsBlobsUnsynced | Mutant::PromisesUnspread | Mutant::ForgetsPins | Mutant::VotesWithoutCopies => {
            &["blobs_readable"]
        }
    };
    names.iter().copied().collect()
}
