//! What this node does for runs that other nodes own: a Hosted actor for each such run has the workers that the owner wants here,
//! and reports to it. Results are recorded here, by the node that has them.

mod hosted;
mod idle;
mod preparing;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use dspex_model::{NodeId, PeerMessage, RunId, RunOrder, WorkOrder};
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, MessagingErr, SpawnErr, SupervisionEvent};
use ractor_cluster::RactorMessage;
use tracing::warn;

use crate::context::NodeContext;
use crate::links::LinkEvent;
use crate::recorder::RecorderMessage;
use crate::run_workers::RunWorkersMessage;
pub(crate) use hosted::HostedMessage;
use hosted::{HostedActor, HostedArguments};
use idle::{Idle, InHand};

/// An end of a run that was missed is noticed within this time; where no log tells of it, parts without work are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(5);

#[derive(RactorMessage)]
pub(crate) enum HostingMessage {
    Link(LinkEvent),
    /// The log says that the run has ended.
    Stop(RunId),
    /// Time to look for runs that have ended, and parts that have nothing to do.
    Look,
}

pub(crate) struct HostingActor;

#[derive(Clone)]
pub(crate) struct HostingArguments {
    pub context: Arc<NodeContext>,
    pub run_workers: ActorRef<RunWorkersMessage>,
    pub recorder: ActorRef<RecorderMessage>,
}

/// A run under one of its owners.
type Part = (NodeId, RunId, u64);

/// The actor of a part.
struct Hosting {
    actor: ActorRef<HostedMessage>,
    in_hand: Arc<InHand>,
    idle: Idle,
}

pub(crate) struct HostingState {
    arguments: HostingArguments,
    parts: BTreeMap<Part, Hosting>,
    by_actor: HashMap<ActorId, Part>,
}

impl Actor for HostingActor {
    type Msg = HostingMessage;
    type State = HostingState;
    type Arguments = HostingArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<HostingMessage>,
        arguments: HostingArguments,
    ) -> Result<HostingState, ActorProcessingErr> {
        myself.send_interval(LOOK_EVERY, || HostingMessage::Look);
        Ok(HostingState { arguments, parts: BTreeMap::new(), by_actor: HashMap::new() })
    }

    async fn handle(
        &self,
        myself: ActorRef<HostingMessage>,
        message: HostingMessage,
        state: &mut HostingState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            HostingMessage::Link(LinkEvent::Said(owner, PeerMessage::Order(order))) => {
                state.ordered(&myself, owner, order).await;
            }
            HostingMessage::Link(LinkEvent::Lost(owner)) => {
                for (_, part) in state.parts.iter().filter(|((of, ..), _)| *of == owner) {
                    // One that is gone has no workers.
                    let _ = part.actor.cast(HostedMessage::Orphaned);
                }
            }
            HostingMessage::Link(LinkEvent::Said(..)) => {}
            HostingMessage::Stop(run) => state.stop(|_, (_, of, _)| *of == run),
            HostingMessage::Look => {
                state.stop(|context, (_, run, epoch)| !is_current(context, *run, *epoch));
                state.stop_idle();
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<HostingMessage>,
        event: SupervisionEvent,
        state: &mut HostingState,
    ) -> Result<(), ActorProcessingErr> {
        let (cell, error) = match event {
            SupervisionEvent::ActorTerminated(cell, ..) => (cell, None),
            SupervisionEvent::ActorFailed(cell, error) => (cell, Some(error)),
            _ => return Ok(()),
        };
        let Some(part) = state.by_actor.remove(&cell.get_id()) else { return Ok(()) };
        // Another one may have begun meanwhile.
        if state.parts.get(&part).is_some_and(|hosting| hosting.actor.get_id() == cell.get_id()) {
            state.parts.remove(&part);
        }
        if let Some(error) = error {
            let (owner, run, _) = part;
            warn!(%run, %owner, %error, "the part of a run that another node owns has failed");
        }
        Ok(())
    }
}

/// Whether the run is still executed under this epoch, as far as this node knows; one that it has not heard of may be new.
fn is_current(context: &NodeContext, run: RunId, epoch: u64) -> bool {
    let found = context.parts.consensus.read_stale(|state| {
        let progress = &state.run(run)?.progress;
        Some((progress.status, progress.epoch))
    });
    found.is_none_or(|(status, current)| status.is_under_way() && current <= epoch)
}

impl HostingState {
    async fn ordered(&mut self, myself: &ActorRef<HostingMessage>, owner: NodeId, order: RunOrder) {
        let RunOrder { run, epoch, what } = order;
        let context = &self.arguments.context;
        if !is_current(context, run, epoch) {
            // A former owner: its orders count for nothing, and it will learn that it is none.
            return;
        }
        let part = (owner, run, epoch);
        let refused = match self.parts.get_mut(&part) {
            Some(hosting) => hosting.order(what),
            None => Some(what),
        };
        // There is none, or it has just ended.
        let Some(what) = refused else { return };
        match self.begin(myself, part).await {
            Ok(mut hosting) => {
                // One that has just begun takes it. Were it gone all the same, nothing would tell the owner, until its line is lost.
                let _ = hosting.order(what);
                self.by_actor.insert(hosting.actor.get_id(), part);
                self.parts.insert(part, hosting);
            }
            Err(error) => warn!(%run, %error, "the part of a run that another node owns did not start"),
        }
    }

    async fn begin(&self, myself: &ActorRef<HostingMessage>, part: Part) -> Result<Hosting, SpawnErr> {
        let (owner, run, epoch) = part;
        let in_hand = Arc::new(InHand::default());
        let shared = self.arguments.clone();
        let arguments = HostedArguments { shared, owner, run, epoch, in_hand: Arc::clone(&in_hand) };
        let (actor, _) = Actor::spawn_linked(None, HostedActor, arguments, myself.get_cell()).await?;
        Ok(Hosting { actor, in_hand, idle: Idle::default() })
    }

    fn stop(&mut self, ends: impl Fn(&NodeContext, &Part) -> bool) {
        for (part, hosting) in &self.parts {
            if ends(&self.arguments.context, part) {
                hosting.actor.stop(None);
            }
        }
    }

    /// They are forgotten before they end: an order that comes meanwhile is for the next one.
    fn stop_idle(&mut self) {
        self.parts.retain(|_, hosting| {
            let is_idle = hosting.idle.look(&hosting.in_hand, LOOK_EVERY);
            if is_idle {
                hosting.actor.stop(None);
            }
            !is_idle
        });
    }
}

impl Hosting {
    /// Gives back what it cannot take because it has ended.
    fn order(&mut self, what: WorkOrder) -> Option<WorkOrder> {
        self.idle.ordered();
        self.in_hand.ordered();
        match self.actor.cast(HostedMessage::Order(what)) {
            Err(MessagingErr::SendErr(HostedMessage::Order(what))) => Some(what),
            _ => None,
        }
    }
}
