//! Makes happen what was planned, and ends it again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep, sleep_until};
use tokio::{Group, JoinHandle, Random, spawn_in};

use crate::cluster::Cluster;
use crate::members::Operator;
use crate::observer::Seen;
use crate::plan::{Event, What, Who};
use crate::traps::{Catch, Caught, Moment};

/// Until every fault has ended.
pub(crate) async fn perform(cluster: &Cluster, plan: Vec<Event>, catches: UnboundedReceiver<Caught>) {
    let obeying = spawn_in(Group::WORLD, obey(cluster.clone(), catches));
    let operator = Operator::start(cluster.clone());
    let mut under_way: Vec<JoinHandle<()>> = Vec::new();
    for Event { at, what } in plan {
        sleep_until(cluster.world.begun + at).await;
        if cluster.world.observer.violation().is_some() {
            break;
        }
        cluster.world.observer.see(Seen::Event { text: &what.to_string() });
        match what {
            What::Members(step) => operator.order(step),
            fault => under_way.push(spawn_in(Group::WORLD, fault_of(cluster.clone(), fault))),
        }
    }
    sleep_until(cluster.world.begun + cluster.world.settings.chaos).await;
    cluster.world.traps.clear();
    for fault in under_way {
        let _ = fault.await;
    }
    operator.finish().await;
    cluster.world.traps.end();
    let _ = obeying.await;
}

/// Does to whom a trap has caught what the trap says.
async fn obey(cluster: Cluster, mut catches: UnboundedReceiver<Caught>) {
    let mut random = Random::stream(cluster.world.seed, "traps");
    let mut under_way = Vec::new();
    while let Some(Caught { node, catch, at_once }) = catches.recv().await {
        if !at_once {
            sleep(random.time(Duration::ZERO..Duration::from_millis(2))).await;
        }
        cluster.world.observer.see(Seen::Event { text: &format!("n{node} is caught: {catch:?}") });
        cluster.world.observer.count(|statistics| statistics.caught += 1);
        let cluster = cluster.clone();
        under_way.push(spawn_in(Group::WORLD, async move {
            match catch {
                Catch::Crash { down } => crash(cluster, node, down).await,
                Catch::Isolate { long } => isolate(&cluster, node, long).await,
            }
        }));
    }
    for fault in under_way {
        let _ = fault.await;
    }
}

/// A node without power for a while.
async fn crash(cluster: Cluster, node: u64, down: Duration) {
    if cluster.crash(node) {
        cluster.world.observer.count(|statistics| statistics.crashes += 1);
        sleep(down).await;
        cluster.start(node).await;
    }
}

fn found(cluster: &Cluster, who: Who) -> Option<u64> {
    match who {
        Who::Leader => cluster.leader(),
        Who::Node(node) => Some(node),
    }
}

/// One fault from its begin to its end.
async fn fault_of(cluster: Cluster, fault: What) {
    let world = Arc::clone(&cluster.world);
    let node = |who: Who| found(&cluster, who);
    let others = |node: u64| world.settings.nodes().filter(move |other| *other != node);
    match fault {
        What::Crash { who, down } => {
            if let Some(node) = node(who) {
                crash(cluster.clone(), node, down).await;
            }
            return;
        }
        What::PowerCut { down } => {
            let crashes = cluster.started().into_iter().map(|node| crash(cluster.clone(), node, down));
            futures::future::join_all(crashes).await;
            return;
        }
        What::Trap { who, moment, down } => {
            if let Some(node) = node(who) {
                world.traps.set(node, moment, Catch::Crash { down });
            }
        }
        What::Coup { down, long } => {
            for node in world.settings.nodes() {
                world.traps.set(node, Moment::VoteGranted, Catch::Crash { down });
                world.traps.set(node, Moment::Leads, Catch::Isolate { long });
            }
            if let Some(leader) = cluster.leader() {
                crash(cluster.clone(), leader, long).await;
            }
        }
        What::Pause { who, long } => {
            if let Some(node) = node(who)
                && cluster.pause(node)
            {
                sleep(long).await;
                cluster.resume(node);
            }
        }
        What::Isolate { who, long } => {
            if let Some(node) = node(who) {
                isolate(&cluster, node, long).await;
            }
        }
        What::Cut { from, to, long } => {
            if let (Some(from), Some(to)) = (node(from), node(to)) {
                cut(&cluster, vec![(from, to)], long).await;
            }
        }
        What::Split { side, long } => {
            let across = |one: &u64| others(*one).filter(|other| !side.contains(other)).collect::<Vec<_>>();
            let cables =
                side.iter().flat_map(|one| across(one).into_iter().flat_map(|other| [(*one, other), (other, *one)]));
            cut(&cluster, cables.collect(), long).await;
        }
        What::Storm { lost_per_mille, slower, long } => {
            world.wires.disturb(lost_per_mille, slower);
            sleep(long).await;
            world.wires.disturb(0, Duration::ZERO);
        }
        What::SlowDisk { who, slower, long } => {
            if let Some(node) = node(who) {
                cluster.slow_disk(node, slower);
                sleep(long).await;
                cluster.slow_disk(node, Duration::ZERO);
            }
        }
        What::Clock { who, ahead_ms, long } => {
            if let Some(node) = node(who) {
                cluster.set_clock(node, ahead_ms);
                sleep(long).await;
                cluster.set_clock(node, 0);
            }
        }
        What::Snapshot { who } => {
            if let Some(handle) = node(who).and_then(|node| cluster.handle(node)) {
                // It has stopped in the meantime, or is halted: then there is no snapshot.
                let _ = tokio::time::timeout(Duration::from_secs(1), handle.raft.trigger().snapshot()).await;
            }
        }
        What::Members(_) => {}
    }
    world.observer.count(|statistics| statistics.faults += 1);
}

async fn isolate(cluster: &Cluster, node: u64, long: Duration) {
    let others = cluster.world.settings.nodes().filter(|other| *other != node);
    let cables = others.flat_map(|other| [(node, other), (other, node)]).collect();
    cut(cluster, cables, long).await;
}

async fn cut(cluster: &Cluster, cables: Vec<(u64, u64)>, long: Duration) {
    let wires = &cluster.world.wires;
    let begun = Instant::now();
    cables.iter().for_each(|(from, to)| wires.cut(*from, *to));
    sleep_until(begun + long).await;
    cables.iter().for_each(|(from, to)| wires.mend(*from, *to));
}
