//! What every actor of a node may use.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};

use dspex_consensus::Consensus;
use dspex_model::{NodeId, Presence};
use dspex_python::Zygotes;
use dspex_storage::BlobStore;
use ractor::ActorRef;

use crate::board::Boards;
use crate::bulkheads::Bulkheads;
use crate::bundles::Bundles;
use crate::capacity::{Capacity, RunLimits};
use crate::draining::Draining;
use crate::environments::{Environments, NamedEnvironment};
use crate::executions::{Executions, Recorder};
use crate::following::Followed;
use crate::freeing::Freeing;
use crate::links::Links;
use crate::pool::PoolSettings;
use crate::pools::PoolsSettings;
use crate::sessions::Remote;
use crate::worker::{WorkerMessage, WorkerView};

/// What a tree is built on.
#[derive(Clone, Debug)]
pub struct NodeParts {
    /// This node.
    pub node: NodeId,
    /// The replicated log.
    pub consensus: Consensus,
    /// The data plane.
    pub blobs: BlobStore,
    /// Python environments.
    pub zygotes: Zygotes,
    /// CPUs that may be used: with those of the other nodes the default number of workers of a run.
    pub cpus: usize,
    /// The pools' settings.
    pub pools: PoolsSettings,
    /// What runs may have.
    pub runs: RunLimits,
    /// It is a node of a cluster: it has links to others.
    pub has_peers: bool,
    /// How other nodes are asked.
    pub remote: Arc<dyn Remote>,
    /// In which code is executed that was sent along, the default first. An embedded node has none.
    pub environments: Vec<NamedEnvironment>,
    /// Where that code lies.
    pub bundles: Arc<Bundles>,
}

/// The workers of a node, by id: how people see them, and their actors.
pub(crate) type Views = BTreeMap<String, (WorkerView, ActorRef<WorkerMessage>)>;

/// Shared by the actors of a node.
#[derive(Debug)]
pub struct NodeContext {
    pub(crate) parts: NodeParts,
    pub(crate) boards: Boards,
    pub(crate) followed: Followed,
    pub(crate) freeing: Freeing,
    pub(crate) environments: Environments,
    pub(crate) bundles: Arc<Bundles>,
    pub(crate) executions: Executions,
    pub(crate) links: Links,
    pub(crate) draining: Draining,
    /// Results of this node's workers on their way to the log.
    pub(crate) unrecorded: AtomicUsize,
    /// Held from the handover of a run until its proposal is answered; and from the start of the node until the runs of its
    /// last life are interrupted, so that no new one is taken for one of them.
    pub(crate) starting: Arc<tokio::sync::Mutex<()>>,
    pub(crate) views: Mutex<Views>,
    /// Worker processes for runs.
    pub(crate) capacity: Arc<Capacity>,
    /// And for each class of pools: one cannot keep another, or the runs, from theirs.
    pub(crate) bulkheads: Bulkheads,
}

impl NodeContext {
    /// With what takes the records of its executions.
    pub(crate) fn new(parts: NodeParts) -> (Arc<Self>, Recorder) {
        let (executions, recorder) = Executions::new();
        let bulkheads = Bulkheads::new(|class| {
            let set = parts.pools.classes.get(&class).map(|settings| settings.processes_max);
            set.unwrap_or_else(|| PoolSettings::default_of(class, parts.cpus).processes_max)
        });
        let context = Self {
            environments: Environments::new(parts.environments.clone()),
            bundles: Arc::clone(&parts.bundles),
            capacity: Capacity::new(parts.runs),
            parts,
            boards: Boards::default(),
            followed: Followed::default(),
            freeing: Freeing::default(),
            executions,
            links: Links::default(),
            draining: Draining::default(),
            unrecorded: AtomicUsize::new(0),
            starting: Arc::default(),
            views: Mutex::default(),
            bulkheads,
        };
        (Arc::new(context), recorder)
    }

    /// What this node could do now.
    pub(crate) fn presence(&self) -> Presence {
        Presence {
            cpus: u32::try_from(self.parts.cpus).unwrap_or(u32::MAX),
            workers: self.capacity.taken(),
            workers_max: self.capacity.places(),
            is_draining: self.draining.is_on(),
        }
    }

    pub(crate) fn view(&self, change: impl FnOnce(&mut Views)) {
        change(&mut self.views.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
