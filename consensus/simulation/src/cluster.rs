//! The nodes of a simulation: started, killed, halted, and used by those outside of them.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use tokio::time::timeout;
use tokio::{Group, kill, pause, resume, spawn_in};

use crate::disk::Disk;
use crate::handle::{Failure, Handle};
use crate::leading::WallClock;
use crate::observer::Seen;
use crate::start;
use crate::world::World;

/// Machines set their clocks when they boot: no node is started with a clock that is further off.
const CLOCK_AT_START_MS: i64 = 5_000;

/// All nodes; clones share them.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) world: Arc<World>,
    nodes: Arc<Mutex<BTreeMap<u64, Node>>>,
}

struct Node {
    disk: Disk,
    wall: WallClock,
    incarnation: u64,
    /// It has power. A node that is being started has no handle yet.
    up: bool,
    handle: Option<Handle>,
}

impl Cluster {
    pub(crate) fn new(world: Arc<World>) -> Self {
        let node = |node| {
            let disk = Disk::new(node, world.seed, &world.settings);
            (node, Node { disk, wall: WallClock::default(), incarnation: 0, up: false, handle: None })
        };
        let nodes = world.settings.nodes().map(node).collect();
        Self { world, nodes: Arc::new(Mutex::new(nodes)) }
    }

    fn nodes(&self) -> MutexGuard<'_, BTreeMap<u64, Node>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a node that is down, and waits until it runs or is killed.
    pub(crate) async fn start(&self, node: u64) {
        let (incarnation, disk, wall) = {
            let mut nodes = self.nodes();
            let Some(found) = nodes.get_mut(&node).filter(|found| !found.up) else { return };
            found.up = true;
            found.incarnation += 1;
            (found.incarnation, found.disk.clone(), Arc::clone(&found.wall))
        };
        let ahead = wall.load(Ordering::Relaxed).clamp(-CLOCK_AT_START_MS, CLOCK_AT_START_MS);
        wall.store(ahead, Ordering::Relaxed);
        self.world.observer.see(Seen::Started { node, clock_ahead_ms: ahead });
        let starting = start::start(node, incarnation, disk, wall, Arc::clone(&self.world));
        match spawn_in(Group(node), starting).await {
            Ok(Ok(handle)) => {
                let mut nodes = self.nodes();
                if let Some(found) = nodes.get_mut(&node).filter(|found| found.up && found.incarnation == incarnation) {
                    found.handle = Some(handle);
                }
            }
            Ok(Err(error)) => self.world.observer.see(Seen::Failed { node, detail: &error.to_string() }),
            // Killed before it ran.
            Err(_) => {}
        }
    }

    /// Takes the power from a node; `false` when it has none.
    pub(crate) fn crash(&self, node: u64) -> bool {
        let (disk, handle) = {
            let mut nodes = self.nodes();
            let Some(found) = nodes.get_mut(&node).filter(|found| found.up) else { return false };
            found.up = false;
            (found.disk.clone(), found.handle.take())
        };
        self.world.wires.serve(node, None);
        drop(handle);
        kill(Group(node));
        disk.crash();
        true
    }

    /// Halts a node that has power.
    pub(crate) fn pause(&self, node: u64) -> bool {
        let up = self.nodes().get(&node).is_some_and(|found| found.up);
        if up {
            pause(Group(node));
        }
        up
    }

    pub(crate) fn resume(&self, node: u64) {
        resume(Group(node));
    }

    /// Sets a running node's clock off the true time.
    pub(crate) fn set_clock(&self, node: u64, ahead_ms: i64) {
        if let Some(found) = self.nodes().get(&node).filter(|found| found.handle.is_some()) {
            found.wall.store(ahead_ms, Ordering::Relaxed);
        }
    }

    pub(crate) fn slow_disk(&self, node: u64, slower: Duration) {
        if let Some(found) = self.nodes().get(&node) {
            found.disk.set_slower(slower);
        }
    }

    /// Nodes that can be asked.
    pub(crate) fn running(&self) -> Vec<u64> {
        self.nodes().iter().filter(|(_, node)| node.handle.is_some()).map(|(&id, _)| id).collect()
    }

    /// Nodes that were ever started.
    pub(crate) fn started(&self) -> Vec<u64> {
        self.nodes().iter().filter(|(_, node)| node.incarnation > 0).map(|(&id, _)| id).collect()
    }

    pub(crate) fn handle(&self, node: u64) -> Option<Handle> {
        self.nodes().get(&node)?.handle.clone()
    }

    pub(crate) fn disk(&self, node: u64) -> Option<Disk> {
        Some(self.nodes().get(&node)?.disk.clone())
    }

    /// The leader that most running nodes know of in the newest term, if any does.
    pub(crate) fn leader(&self) -> Option<u64> {
        let known = self.running().into_iter().filter_map(|node| {
            let metrics = self.handle(node)?.raft.metrics();
            let metrics = metrics.borrow_watched();
            Some((metrics.current_term, metrics.current_leader?))
        });
        known.max().map(|(_, leader)| leader)
    }

    /// Asks a node as a client does: the answer ends with the node, and is not waited for for ever.
    pub(crate) async fn ask<R, F, Answer>(&self, node: u64, limit: Duration, ask: F) -> Result<R, Failure>
    where
        R: Send + 'static,
        F: FnOnce(Handle) -> Answer,
        Answer: Future<Output = Result<R, Failure>> + Send + 'static,
    {
        let Some(handle) = self.handle(node) else { return Err(Failure::NotDone) };
        let answer = timeout(limit, spawn_in(Group(node), ask(handle))).await;
        answer.ok().and_then(Result::ok).unwrap_or(Err(Failure::Unknown))
    }

    /// Ends everything: what holds each other is let go of.
    pub(crate) fn end(&self) {
        for node in self.started() {
            self.crash(node);
        }
    }
}
