//! From the log to actors: effects as they come, and all that is pending once in a while and whenever effects were missed.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use dspex_consensus::{EffectEvent, Effects, ExecutionsError, ReadError};
use dspex_model::{Digest, Effect};
use ractor::ActorRef;
use tracing::debug;

use crate::context::{NodeContext, NodeParts};
use crate::evaluations::EvaluationsMessage;
use crate::hosting::HostingMessage;

/// An effect that was lost is made up for within this time.
const DERIVE_EVERY: Duration = Duration::from_secs(5);

/// Between attempts to learn what may be freed.
const SWEEP_PAUSE: Duration = Duration::from_secs(10);

/// Runs until the log or the tree is gone.
pub(crate) async fn reconcile(
    context: Arc<NodeContext>,
    mut effects: Effects,
    actors: (ActorRef<EvaluationsMessage>, ActorRef<HostingMessage>),
) {
    let mut derive = tokio::time::interval(DERIVE_EVERY);
    loop {
        let batch = tokio::select! {
            _ = derive.tick() => pending(&context),
            event = effects.next() => match event {
                Some(EffectEvent::Effects { effects, .. }) => effects,
                Some(EffectEvent::Missed) => {
                    debug!("effects were missed; deriving what is pending");
                    pending(&context)
                }
                None => return,
            },
        };
        free(&context, &batch);
        for effect in batch {
            if perform(&context, &actors, effect).is_err() {
                return;
            }
        }
    }
}

/// Frees what nothing refers to any more. Also done once when the node starts; one with peers waits until they have named what
/// they have stored here before.
pub(crate) async fn sweep(context: Arc<NodeContext>) {
    let NodeParts { consensus, blobs, .. } = &context.parts;
    tokio::time::sleep(blobs.all_pinned_for()).await;
    while let Err(error) = context.freeing.sweep(blobs, consensus).await {
        if matches!(error, ExecutionsError::Read(ReadError::Stopped { .. })) {
            return;
        }
        debug!(%error, "blobs are freed when there is a quorum");
        tokio::time::sleep(SWEEP_PAUSE).await;
    }
}

/// What the last of its programs' versions named. What is not freed now goes with a later sweep.
fn free(context: &Arc<NodeContext>, effects: &[Effect]) {
    let named = effects.iter().filter_map(|effect| match effect {
        Effect::FreeBlob { digest } => Some(*digest),
        _ => None,
    });
    let candidates: HashSet<Digest> = named.collect();
    if candidates.is_empty() {
        return;
    }
    let context = Arc::clone(context);
    tokio::spawn(async move {
        let NodeParts { consensus, blobs, .. } = &context.parts;
        tokio::time::sleep(blobs.all_pinned_for()).await;
        if let Err(error) = context.freeing.free(blobs, candidates, consensus).await {
            debug!(%error, "blobs of programs are freed later");
        }
    });
}

fn pending(context: &NodeContext) -> Vec<Effect> {
    context.parts.consensus.read_stale(|state| state.pending(context.parts.node))
}

fn perform(
    context: &Arc<NodeContext>,
    (evaluations, hosting): &(ActorRef<EvaluationsMessage>, ActorRef<HostingMessage>),
    effect: Effect,
) -> Result<(), ()> {
    let message = match effect {
        Effect::OwnRun { owner, run, epoch } if owner == context.parts.node => EvaluationsMessage::Own { run, epoch },
        Effect::OwnRun { .. } => return Ok(()),
        Effect::FreeBlobs { .. } | Effect::FreeExecutions { .. } => {
            tokio::spawn(sweep(Arc::clone(context)));
            return Ok(());
        }
        // All of a batch are freed at once.
        Effect::FreeBlob { .. } => return Ok(()),
        Effect::PauseRun { run } => EvaluationsMessage::Pause(run),
        Effect::StopRun { run } => {
            hosting.cast(HostingMessage::Stop(run)).map_err(|_| ())?;
            EvaluationsMessage::Stop(run)
        }
    };
    evaluations.cast(message).map_err(|_| ())
}
