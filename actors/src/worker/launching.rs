//! How a worker comes to its process: the node must have room for it, then a zygote forks it; and how its actor hears of it.

use std::sync::Arc;
use std::time::Duration;

use dspex_python::protocol::ToWorker;
use dspex_python::{MemoryLimit, OutputLine, WorkerEvent, WorkerHandle, WorkerProcess};
use ractor::ActorRef;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::{
    AbortOnDrop, EndedBy, LOAD_LIMIT, LoadedProcess, Origin, RunningProcess, WorkerActorState, WorkerEnd,
    WorkerMessage, WorkerOwner, WorkerReport, WorkerService, WorkerState,
};
use crate::capacity::{Claimant, Place};
use crate::error::{SubmitError, SubmitErrorKind};
use crate::pool::CallError;
use crate::submission::Caller;

/// The node has room for the process. Dropping it gives the room back.
pub(super) enum Permit {
    Run { _place: Place },
    Pool { _place: OwnedSemaphorePermit },
}

impl WorkerActorState {
    pub(super) async fn start(&mut self, myself: &ActorRef<WorkerMessage>, origin: Origin) {
        match origin {
            Origin::Loaded(LoadedProcess { process, mut place, .. }) => {
                if let WorkerService::Run(run) = self.place.service {
                    place.becomes(run);
                }
                self.adopt(myself, process, Permit::Run { _place: place });
                self.ready(None);
            }
            Origin::Launch { caller, load } => {
                // A run waits for its share as long as it takes.
                let launched = self.launch(&caller, ToWorker::Load(load), Duration::MAX).await;
                self.launched(myself, launched, LOAD_LIMIT);
            }
            Origin::Serve { caller, serve, limit, patience } => {
                let launched = self.launch(&caller, ToWorker::Serve(serve), patience).await;
                self.launched(myself, launched, limit);
            }
        }
    }

    fn launched(
        &mut self,
        myself: &ActorRef<WorkerMessage>,
        launched: Result<(WorkerProcess, Permit), SubmitError>,
        limit: Duration,
    ) {
        match launched {
            Ok((process, permit)) => {
                self.adopt(myself, process, permit);
                self.show(|view| view.state = WorkerState::Loading);
                myself.send_after(limit, move || WorkerMessage::LoadLimit(limit));
            }
            Err(error) => {
                let message = error.to_string();
                let end = WorkerEnd { message, output: String::new(), by: EndedBy::Node, refused: Some(error) };
                self.end(myself, end);
            }
        }
    }

    /// Waits for room, in which runs have their shares and each class of pools its own, then forks and says what to serve.
    async fn launch(
        &self,
        caller: &Caller,
        first: ToWorker,
        patience: Duration,
    ) -> Result<(WorkerProcess, Permit), SubmitError> {
        let context = &self.place.context;
        let permit = self.permit(patience).await?;
        let zygote = context.parts.zygotes.zygote(&caller.interpreter, &caller.environment).await?;
        let process = zygote.fork(&self.place.id, &caller.environment, &caller.directory, "worker").await?;
        let sent = process.handle.send(&first).await;
        sent.map_err(|error| SubmitError::new(SubmitErrorKind::WorkerEnded, error))?;
        Ok((process, permit))
    }

    async fn permit(&self, patience: Duration) -> Result<Permit, SubmitError> {
        let context = &self.place.context;
        match self.place.service {
            WorkerService::Run(run) => Ok(Permit::Run { _place: context.capacity.place(Claimant::Run(run)).await }),
            WorkerService::Pool(class) => {
                let bulkhead = context.bulkheads.of(class);
                let Some(place) = bulkhead.place(patience).await else {
                    let full = CallError::ClassFull { pool: class, places: bulkhead.places(), waited: patience };
                    return Err(SubmitError::new(SubmitErrorKind::PoolFull, full));
                };
                self.report(WorkerReport::Placed);
                Ok(Permit::Pool { _place: place })
            }
        }
    }

    fn adopt(&mut self, myself: &ActorRef<WorkerMessage>, process: WorkerProcess, permit: Permit) {
        let WorkerProcess { handle, events, lines } = process;
        let pid = handle.pid();
        self.show(|view| view.pid = pid);
        let pumps = [
            AbortOnDrop(tokio::spawn(pump_events(myself.clone(), events))),
            AbortOnDrop(tokio::spawn(pump_lines(handle.clone(), self.place.owner.clone(), lines))),
        ];
        let memory = self.place.memory_limit.map(|bytes| {
            let limit = Arc::new(MemoryLimit::new(pid, &self.place.id, bytes));
            let watch = AbortOnDrop(tokio::spawn(watch_memory(myself.clone(), Arc::clone(&limit))));
            (limit, watch)
        });
        self.process = Some(RunningProcess { handle, memory, _pumps: pumps, _permit: permit });
    }
}

async fn watch_memory(worker: ActorRef<WorkerMessage>, limit: Arc<MemoryLimit>) {
    limit.exceeded().await;
    // A worker that is gone needs no memory.
    let _ = worker.cast(WorkerMessage::BeyondMemory);
}

async fn pump_events(worker: ActorRef<WorkerMessage>, mut events: mpsc::Receiver<WorkerEvent>) {
    while let Some(event) = events.recv().await {
        if worker.cast(WorkerMessage::Event(event)).is_err() {
            return;
        }
    }
}

async fn pump_lines(handle: WorkerHandle, owner: WorkerOwner, mut lines: mpsc::Receiver<OutputLine>) {
    let mut told = 0;
    while let Some(OutputLine(text)) = lines.recv().await {
        let dropped = handle.output().dropped_bytes();
        let dropped_bytes = dropped.saturating_sub(told);
        told = dropped;
        owner.printed(handle.id(), text, dropped_bytes);
    }
}
