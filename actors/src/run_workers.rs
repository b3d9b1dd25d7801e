//! The workers of runs: spawned and supervised here. None is handed from one run to another: forking is cheaper than cleaning.
//! Each waits for its place in the node's capacity by itself, so that a run that waits for a worker blocks nobody.

use std::collections::HashMap;

use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, RpcReplyPort, SpawnErr, SupervisionEvent};
use ractor_cluster::RactorMessage;
use tracing::warn;

use crate::evaluation::WorkerKey;
use crate::worker::{EndedBy, Origin, WorkerActor, WorkerEnd, WorkerMessage, WorkerOwner, WorkerPlace, WorkerReport};

#[derive(RactorMessage)]
pub(crate) enum RunWorkersMessage {
    /// A worker for a run; it reports to the place's owner.
    Spawn(WorkerPlace, Origin, RpcReplyPort<Result<ActorRef<WorkerMessage>, SpawnErr>>),
}

pub(crate) struct RunWorkersActor;

#[derive(Default)]
pub(crate) struct RunWorkersState {
    owners: HashMap<ActorId, (WorkerOwner, WorkerKey)>,
}

impl Actor for RunWorkersActor {
    type Msg = RunWorkersMessage;
    type State = RunWorkersState;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<RunWorkersMessage>, (): ()) -> Result<RunWorkersState, ActorProcessingErr> {
        Ok(RunWorkersState::default())
    }

    async fn handle(
        &self,
        myself: ActorRef<RunWorkersMessage>,
        message: RunWorkersMessage,
        state: &mut RunWorkersState,
    ) -> Result<(), ActorProcessingErr> {
        let RunWorkersMessage::Spawn(place, origin, reply) = message;
        let (owner, key) = (place.owner.clone(), place.key);
        let spawned = Actor::spawn_linked(None, WorkerActor, (place, origin), myself.get_cell()).await;
        let spawned = spawned.map(|(worker, _)| worker);
        if let Ok(worker) = &spawned {
            state.owners.insert(worker.get_id(), (owner, key));
        }
        // A caller that is gone leaves a worker whose owner is gone: it is ended by its first report.
        if let Err(error) = reply.send(spawned) {
            warn!(%error, "a worker was spawned for nobody");
        }
        Ok(())
    }

    /// A worker that stopped has reported its end; one that panicked or was killed has not, so this does.
    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<RunWorkersMessage>,
        event: SupervisionEvent,
        state: &mut RunWorkersState,
    ) -> Result<(), ActorProcessingErr> {
        let (cell, message) = match event {
            SupervisionEvent::ActorTerminated(cell, ..) => (cell, "the worker's actor stopped".to_owned()),
            SupervisionEvent::ActorFailed(cell, error) => {
                warn!(%error, "a worker's actor failed");
                (cell, format!("the worker's actor failed: {error}"))
            }
            _ => return Ok(()),
        };
        if let Some((owner, key)) = state.owners.remove(&cell.get_id()) {
            let end = WorkerEnd { message, output: String::new(), by: EndedBy::Node, refused: None };
            // After the worker's own report this one is for an unknown key, and ignored.
            owner.tell(key, WorkerReport::Ended(end));
        }
        Ok(())
    }
}
