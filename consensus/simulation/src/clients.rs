//! Clients: they write to sessions and read them, at any node, and send again what got no answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dspex_model::{Command, Outcome, Proposal, RequestId, RunId, SessionChange, SessionId};
use futures::future::join_all;
use tokio::time::sleep;
use tokio::{Group, JoinHandle, Random, spawn_in};

use crate::cluster::Cluster;
use crate::committed::{View, WRITER, view};
use crate::handle::{Failure, Freshness};
use crate::observer::Seen;
use crate::runs::{CurrentRun, execution};
use crate::settings::LEASE;

/// How often a write is sent at the most.
const ATTEMPTS: u32 = 6;

/// A client waits for a node a little longer than the node tries.
const PATIENCE: Duration = Duration::from_millis(500);

/// Sessions live for so long, if not for ever.
const TTLS_MS: [u64; 3] = [500, 3_000, 60_000];

/// Clients at work.
pub(crate) struct Clients {
    ended: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

struct Client {
    number: u64,
    cluster: Cluster,
    random: Random,
    /// Faults have begun: from here on acknowledged writes count.
    among_faults: Arc<AtomicBool>,
    writes: u64,
    run: CurrentRun,
    /// What it believes each session's version to be.
    versions: std::collections::BTreeMap<SessionId, u64>,
}

impl Clients {
    pub(crate) fn start(cluster: &Cluster, among_faults: &Arc<AtomicBool>) -> Self {
        let ended = Arc::<AtomicBool>::default();
        let task = |number: u64| {
            let client = Client::new(number, cluster, among_faults);
            spawn_in(Group::WORLD, client.work(Arc::clone(&ended)))
        };
        let tasks = (1..=cluster.world.settings.clients).map(task).collect();
        Self { ended, tasks }
    }

    /// Lets each finish what it has begun.
    pub(crate) async fn finish(self) {
        self.ended.store(true, Ordering::Relaxed);
        join_all(self.tasks).await;
    }
}

impl Client {
    pub(crate) fn new(number: u64, cluster: &Cluster, among_faults: &Arc<AtomicBool>) -> Self {
        let random = Random::stream(cluster.world.seed, &format!("client {number}"));
        let (cluster, among_faults) = (cluster.clone(), Arc::clone(among_faults));
        Self {
            number,
            cluster,
            random,
            among_faults,
            writes: 0,
            run: CurrentRun::default(),
            versions: std::collections::BTreeMap::new(),
        }
    }

    async fn work(mut self, ended: Arc<AtomicBool>) {
        while !ended.load(Ordering::Relaxed) {
            let think = self.random.time(self.cluster.world.settings.think.clone());
            sleep(think).await;
            let session = self.session();
            match self.random.below(10) {
                0..4 => {
                    let lease = self.random.per_mille(300);
                    self.read(session, if lease { Freshness::Lease } else { Freshness::Linearizable }).await;
                }
                9 => {
                    let new = self.request().request;
                    let (command, blobs) = match self.random.per_mille(250) {
                        true => execution(&self.token(), new),
                        false => self.run.next(&self.token(), RunId(new), self.random.per_mille(500)),
                    };
                    self.write(command, blobs).await;
                }
                kind => {
                    let command = self.command(kind, session);
                    self.write(command, Vec::new()).await;
                }
            }
        }
    }

    fn session(&mut self) -> SessionId {
        let number = self.random.below(self.cluster.world.settings.sessions);
        SessionId::new(format!("s{number}")).unwrap_or_else(|error| panic!("{error}"))
    }

    fn command(&mut self, kind: u64, session: SessionId) -> Command {
        let known = self.versions.get(&session).copied();
        let writer = (WRITER.to_owned(), self.token());
        let change = SessionChange { replace: false, removed: Vec::new(), set: vec![writer.clone()] };
        match (kind, known) {
            (4, Some(_)) => {
                let expected_version = known.filter(|_| self.random.per_mille(500));
                Command::DeleteSession { session, expected_version }
            }
            (5..7, Some(_)) => Command::UpdateSession { session, expected_version: known, change, ttl_ms: None },
            (7.., Some(_)) => Command::UpdateSession { session, expected_version: None, change, ttl_ms: None },
            _ => {
                let ttl_ms = self.random.choose(&TTLS_MS).copied().filter(|_| self.random.per_mille(500));
                Command::CreateSession { session, ttl_ms, data: vec![writer] }
            }
        }
    }

    /// The token of the next write.
    fn token(&self) -> String {
        format!("c{}-{}", self.number, self.writes + 1)
    }

    /// Some node that runs.
    fn node(&mut self) -> Option<u64> {
        self.random.choose(&self.cluster.running()).copied()
    }

    async fn write(&mut self, command: Command, blobs: Vec<Arc<[u8]>>) {
        let world = Arc::clone(&self.cluster.world);
        let token = self.token();
        self.writes += 1;
        let session = crate::committed::session_of(&command).cloned();
        let request = self.request();
        let proposal = Proposal { stamp_ms: 0, request: Some(request), actor: Some(token.clone()), command };
        let (visible, limit) = (world.observer.visible(), world.settings.time_limit + PATIENCE);
        let mut begun = false;
        for _ in 0..ATTEMPTS {
            let Some(node) = self.node() else {
                sleep(PATIENCE).await;
                continue;
            };
            let (proposal, given) = (proposal.clone(), blobs.clone());
            if begun {
                world.observer.count(|statistics| statistics.repeated += 1);
            }
            match self.cluster.ask(node, limit, |handle| async move { handle.promise(given, proposal).await }).await {
                Ok(outcome) => {
                    world.observer.count(|statistics| statistics.blobs_promised += blobs.len() as u64);
                    world.observer.see(Seen::Acknowledged { token: &token, visible, outcome: &outcome });
                    if self.among_faults.load(Ordering::Relaxed) {
                        world.observer.count(|statistics| statistics.acknowledged += 1);
                    }
                    return self.learn(session, &outcome);
                }
                Err(Failure::NotDone) => {}
                Err(Failure::Unknown) => begun = true,
            }
            sleep(self.random.time(Duration::ZERO..PATIENCE)).await;
        }
        if begun {
            world.observer.count(|statistics| statistics.unknown += 1);
        }
    }

    /// Like a UUIDv7: the time it was made at, then chance.
    fn request(&mut self) -> RequestId {
        let made_ms = u128::from(self.cluster.world.true_ms());
        let chance = u128::from(self.random.draw());
        RequestId { request: made_ms << 80 | chance, client: u128::from(self.number) }
    }

    fn learn(&mut self, session: Option<SessionId>, outcome: &Outcome) {
        let Some(session) = session else { return self.run.learn(outcome) };
        match outcome {
            Outcome::SessionWritten { version, .. } => self.versions.insert(session, *version),
            Outcome::Rejected(dspex_model::Rejection::VersionConflict { current }) => {
                self.versions.insert(session, *current)
            }
            Outcome::Rejected(dspex_model::Rejection::SessionExists { version }) => {
                self.versions.insert(session, *version)
            }
            _ => self.versions.remove(&session),
        };
    }

    async fn read(&mut self, session: SessionId, freshness: Freshness) {
        let world = Arc::clone(&self.cluster.world);
        let Some(node) = self.node() else { return };
        let (visible, lease_ago) = (world.observer.visible(), world.observer.visible_ago(LEASE));
        let limit = world.settings.time_limit + PATIENCE;
        let wanted = session.clone();
        let ask = |handle: crate::handle::Handle| async move {
            let look = |applied, state: &dspex_model::State| (applied, view(state, &wanted));
            handle.read(freshness, look).await
        };
        let Ok((applied, found)) = self.cluster.ask(node, limit, ask).await else { return };
        let (client, view) = (self.number, found.as_ref());
        world.observer.see(Seen::Read {
            client,
            node,
            freshness,
            session: &session,
            visible,
            lease_ago,
            applied,
            view,
        });
        match found {
            Some(View { version, .. }) => self.versions.insert(session, version),
            None => self.versions.remove(&session),
        };
    }
}

/// One write and one read at each of these nodes, by a client that comes when all is calm; what did not work.
pub(crate) async fn try_out(cluster: &Cluster, nodes: &[u64], limit: Duration) -> Result<(), String> {
    let mut client = Client::new(0, cluster, &Arc::default());
    for &node in nodes {
        let token = client.token();
        client.writes += 1;
        let session = SessionId::new("healed").unwrap_or_else(|error| panic!("{error}"));
        let data = vec![(WRITER.to_owned(), token.clone())];
        let command = Command::CreateSession { session: session.clone(), ttl_ms: Some(1), data };
        let request = Some(client.request());
        let proposal = Proposal { stamp_ms: 0, request, actor: Some(token.clone()), command };
        let visible = cluster.world.observer.visible();
        let outcome = cluster.ask(node, limit, |handle| async move { handle.propose(proposal).await }).await;
        let outcome = outcome.map_err(|failure| format!("no write through node {node}: {failure:?}"))?;
        cluster.world.observer.see(Seen::Acknowledged { token: &token, visible, outcome: &outcome });
        let visible = cluster.world.observer.visible();
        let ask = |handle: crate::handle::Handle| async move {
            handle.read(Freshness::Linearizable, |applied, state| (applied, view(state, &session))).await
        };
        let read = cluster.ask(node, limit, ask).await;
        let (applied, found) = read.map_err(|_| format!("no read at node {node}"))?;
        let session = SessionId::new("healed").unwrap_or_else(|error| panic!("{error}"));
        let view = found.as_ref();
        cluster.world.observer.see(Seen::Read {
            client: 0,
            node,
            freshness: Freshness::Linearizable,
            session: &session,
            visible,
            lease_ago: visible,
            applied,
            view,
        });
    }
    Ok(())
}
