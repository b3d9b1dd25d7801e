//! Sabotage that must be found: else a green scenario says nothing.

use std::time::{Duration, Instant};

use dspex_api::v1::{CreateSessionRequest, Freshness, GetSessionRequest, RequestId, UpdateSessionRequest};
use dspex_chaos::cluster::{Cluster, Layout, Need};
use dspex_chaos::control::{Chance, Mutant};
use dspex_chaos::fault::pause::Pause;
use dspex_chaos::scenario::{self, Options, SETTLE_LIMIT, Scenario, play};
use dspex_chaos::schedule::Fault;
use dspex_chaos::stage::OwnCluster;
use dspex_chaos::{Action, History, Operation, Outcome, Stopwatch, invariant, linearizability};
use uuid::Uuid;

use crate::places::{program, seed};
use crate::skip::is_available;

const LENGTH: Duration = Duration::from_secs(1);
/// The session of the stale read.
const KEY: &str = "left-behind";

/// One cut of everything.
const ALL_LOSE_POWER: Scenario = Scenario {
    name: "all-lose-power",
    says: "the power of all nodes fails at once",
    needs: &[Need::Disks],
    least: 1,
    calls: false,
    evaluates: false,
    draw: |_, nodes| Fault::CutPower((0..nodes).collect()),
};

#[test]
fn nodes_whose_syncs_do_nothing_lose_acknowledged_writes_in_a_power_cut() {
    if !is_available("power cut without syncs", Need::Disks.probe()) {
        return;
    }
    let layout = Layout { syncs: false, ..Layout::plain(program(), 3).with(&[Need::Disks]) };
    let mut cluster = Cluster::start(layout).expect("a cluster");
    // What came before is on the disks: the cluster comes back, without its newest writes.
    for node in cluster.nodes() {
        node.write_back().expect("written");
    }
    let report = play(&ALL_LOSE_POWER, &mut OwnCluster::new(&mut cluster), &Options::new(seed(), LENGTH));
    eprintln!("{report}");
    assert_eq!(report.landed.total(), 1);
    // A key that is written anew after its loss is past its old version at the end: then no order of its operations explains both.
    let promises = ["acknowledged writes survive", "linearizable"];
    let checked: Vec<_> = report.findings.iter().filter(|finding| promises.contains(&finding.promise)).collect();
    assert_eq!(checked.len(), promises.len(), "both are checked");
    let broken = checked.iter().flat_map(|finding| &finding.broken);
    let lost = broken.filter(|broken| broken.contains("key \"chaos-")).count();
    assert!(lost > 0, "a disk that lies lost nothing: the power cut is none\n{report}\n{}", cluster.last_words());
}

#[test]
fn faults_planted_in_a_recorded_history_are_found() {
    let scenario = scenario::find("kill-nine").expect("known");
    let mut cluster = Cluster::start(Layout::plain(program(), 3)).expect("a cluster");
    let right = play(scenario, &mut OwnCluster::new(&mut cluster), &Options::new(seed(), LENGTH));
    assert!(right.is_green(), "{right}");
    every_mutant_is_found(&right.recording.history, right.recording.healed_ns);
}

/// A node that was down during a write, and can ask nobody since, cannot know of it: what it answers is stale for sure.
#[test]
fn a_stale_read_of_a_node_that_was_left_behind_passes_for_no_linearizable_one() {
    let mut cluster = Cluster::start(Layout::plain(program(), 3)).expect("a cluster");
    let leader = cluster.leader_within(SETTLE_LIMIT).expect("a leader");
    let behind = (leader + 1) % 3;
    let mut recorder = Recorder::start();
    let created = recorder.record(Action::Create { value: "1".to_owned() }, || write(&cluster, leader, None));
    assert_eq!(created, Outcome::Written { version: 1 });
    until_found(&cluster, behind);

    cluster.node(behind).kill().expect("killed");
    let update = Action::Update { expected_version: None, value: "2".to_owned() };
    let updated = recorder.record(update, || write(&cluster, leader, Some("2")));
    assert_eq!(updated, Outcome::Written { version: 2 });
    let others: Vec<usize> = (0..3).filter(|node| *node != behind).collect();
    let pids = others.iter().map(|other| cluster.node(*other).pid().expect("it runs"));
    let pauses: Vec<Pause> =
        pids.collect::<Vec<_>>().into_iter().map(|pid| Pause::begin(pid).expect("paused")).collect();
    cluster.start_node(behind).expect("started");
    let stale = recorder.record(Action::Get, || until_found(&cluster, behind));
    drop(pauses);
    assert_eq!(stale, Outcome::Found { version: 1, value: "1".to_owned() });

    let violations = linearizability::check(&History::new(recorder.operations).expect("possible")).violations;
    assert!(!violations.is_empty(), "a stale read passes for a linearizable one");
}

/// Writes down what one client asks and learns.
struct Recorder {
    stopwatch: Stopwatch,
    operations: Vec<Operation>,
}

impl Recorder {
    fn start() -> Self {
        Self { stopwatch: Stopwatch::start(), operations: Vec::new() }
    }

    fn record(&mut self, action: Action, perform: impl FnOnce() -> Outcome) -> Outcome {
        let invoked_ns = self.stopwatch.now_ns();
        let outcome = perform();
        let completed_ns = self.stopwatch.now_ns();
        let (key, outcome_of) = (KEY.to_owned(), outcome.clone());
        self.operations.push(Operation { client: 0, key, action, invoked_ns, completed_ns, outcome: outcome_of });
        outcome
    }
}

/// Makes the session with the value 1, or gives it another one.
fn write(cluster: &Cluster, node: usize, value: Option<&str>) -> Outcome {
    let data = |value: &str| [("value".to_owned(), format!("\"{value}\""))].into();
    let request_id = Some(RequestId { client: Uuid::new_v4().to_string(), request: Uuid::now_v7().to_string() });
    let session_id = KEY.to_owned();
    let written = cluster.target().ask(node, async |client| match value {
        None => {
            client.create_session(CreateSessionRequest { request_id, session_id, data: data("1"), ttl_ms: None }).await
        }
        Some(value) => {
            let set = data(value);
            let (expected_version, removed, ttl_ms) = (None, Vec::new(), None);
            let update =
                UpdateSessionRequest { request_id, session_id, expected_version, replace: true, removed, set, ttl_ms };
            client.update_session(update).await
        }
    });
    Outcome::Written { version: written.expect("written").version }
}

/// What a node knows of the session itself, as soon as it answers and has it.
fn until_found(cluster: &Cluster, node: usize) -> Outcome {
    let begun = Instant::now();
    loop {
        let get = GetSessionRequest { session_id: KEY.to_owned(), freshness: Freshness::Stale.into(), version: None };
        match cluster.target().ask(node, async |client| client.session(get).await) {
            Ok(session) => {
                let value = session.data.get("value").map(|json| json.trim_matches('"').to_owned()).unwrap_or_default();
                return Outcome::Found { version: session.version, value };
            }
            Err(error) => assert!(begun.elapsed() < SETTLE_LIMIT, "{error}\n{}", cluster.last_words()),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// In a right history.
pub fn every_mutant_is_found(history: &History, healed_ns: u64) {
    let mut chance = Chance::new(seed());
    let mut planted = 0;
    for mutant in Mutant::ALL {
        for _ in 0..5 {
            let Some(wrong) = mutant.plant(history, &mut chance) else { continue };
            planted += 1;
            let found = !linearizability::check(&wrong.history).violations.is_empty()
                || !invariant::check(&wrong.history, healed_ns).is_empty();
            assert!(found, "{mutant:?} in key {} was not found", wrong.key);
        }
    }
    eprintln!("{planted} planted faults found");
    assert!(planted >= 10, "only {planted} faults found a place");
}
