//! What this node does for runs that other nodes own: a Hosted actor for each such run has the workers that the owner wants here,
//! and reports to it. Results are recorded here, by the node that has them.

mod hosted;
mod preparing;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use dspex_model::{NodeId, PeerMessage, RunId, RunOrder};
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, MessagingErr, SupervisionEvent};
use ractor_cluster::RactorMessage;
use tracing::warn;

use crate::context::NodeContext;
use crate::links::LinkEvent;
use crate::recorder::RecorderMessage;
use crate::run_workers::RunWorkersMessage;
pub(crate) use hosted::HostedMessage;
use hosted::{HostedActor, HostedArguments};

/// An end of a run that was missed is noticed within this time. A node without a vote never hears of one: there parts stop that have
/// had nothing to do for a while.
const LOOK_EVERY: Duration = Duration::from_secs(5);

#[derive(RactorMessage)]
pub(crate) enum HostingMessage {
    Link(LinkEvent),
    /// The log says that the run has ended.
    Stop(RunId),
    /// Time to look for runs that have ended.
    Look,
    /// From a part: nothing is left to do since this order.
    Rests {
        part: Part,
        orders: u64,
    },
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

struct Held {
    actor: ActorRef<HostedMessage>,
    /// Passed on to it.
    orders: u64,
}

pub(crate) struct HostingState {
    arguments: HostingArguments,
    parts: BTreeMap<Part, Held>,
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
                for (_, held) in state.parts.iter().filter(|((of, ..), _)| *of == owner) {
                    // One that is gone has no workers.
                    let _ = held.actor.cast(HostedMessage::Orphaned);
                }
            }
            HostingMessage::Link(LinkEvent::Said(..)) => {}
            HostingMessage::Stop(run) => state.stop(|_, (_, of, _)| *of == run),
            HostingMessage::Look => {
                state.stop(|context, (_, run, epoch)| !is_current(context, *run, *epoch));
                for Held { actor, orders } in state.parts.values() {
                    // One that is gone rests.
                    let _ = actor.cast(HostedMessage::Look { orders: *orders });
                }
            }
            HostingMessage::Rests { part, orders } => state.let_go(part, orders),
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
        // Another one may have taken its place.
        if state.parts.get(&part).is_some_and(|held| held.actor.get_id() == cell.get_id()) {
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
        let mut order = HostedMessage::Order(what);
        if let Some(held) = self.parts.get_mut(&part) {
            match held.pass_on(order) {
                None => return,
                Some(back) => order = back,
            }
        }
        // There is none, or it has just failed. Workers that went with that one are told as gone by the next.
        let arguments = HostedArguments { shared: self.arguments.clone(), hosting: myself.clone(), owner, run, epoch };
        match Actor::spawn_linked(None, HostedActor, arguments, myself.get_cell()).await {
            Ok((actor, _)) => {
                self.by_actor.insert(actor.get_id(), part);
                let mut held = Held { actor, orders: 0 };
                if held.pass_on(order).is_some() {
                    warn!(%run, %owner, "the part of a run that another node owns failed at once");
                }
                self.parts.insert(part, held);
            }
            Err(error) => warn!(%run, %error, "the part of a run that another node owns did not start"),
        }
    }

    /// Ends a part that rests, unless it has been given something to do meanwhile.
    fn let_go(&mut self, part: Part, orders: u64) {
        if let Entry::Occupied(found) = self.parts.entry(part)
            && found.get().orders == orders
        {
            let held = found.remove();
            self.by_actor.remove(&held.actor.get_id());
            held.actor.stop(None);
        }
    }

    fn stop(&mut self, ends: impl Fn(&NodeContext, &Part) -> bool) {
        for (part, held) in &self.parts {
            if ends(&self.arguments.context, part) {
                held.actor.stop(None);
            }
        }
    }
}

impl Held {
    /// `Some`: it is gone, and this is for another one.
    fn pass_on(&mut self, order: HostedMessage) -> Option<HostedMessage> {
        match self.actor.cast(order) {
            Err(MessagingErr::SendErr(order)) => Some(order),
            _ => {
                self.orders += 1;
                None
            }
        }
    }
}
