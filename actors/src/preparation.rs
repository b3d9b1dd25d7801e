//! From a request to a run in the log: the program is loaded once as a check, in the worker that will then execute it.

mod check;
pub(crate) mod place;
pub(crate) mod sources;
mod specification;

use std::sync::Arc;
use std::time::Duration;

use dspex_model::{Command, Digest, Outcome, Rejection, RunId, RunStatus, RunSubmission, payload_of};
use ractor::ActorRef;
use tokio::time::timeout;
use uuid::Uuid;

use crate::board::Board;
use crate::context::NodeContext;
use crate::draining::REFUSAL;
use crate::error::{SubmitError, SubmitErrorKind};
use crate::evaluations::{EvaluationsMessage, Handover};
use crate::proposing::{By, propose};
use crate::submission::{
    Caller, DatasetSource, EvaluationRequest, ResumeRequest, SubmitRequest, Submitted, missing_variable,
};
use check::{Checked, Checking};
use specification::Specified;

/// For other starts before this one, each of which waits for the log.
const START_LIMIT: Duration = Duration::from_secs(30);

/// Checks a submission and starts it.
pub(crate) async fn submit(
    context: &Arc<NodeContext>,
    evaluations: &ActorRef<EvaluationsMessage>,
    request: SubmitRequest,
) -> Result<Submitted, SubmitError> {
    let SubmitRequest { by, received, caller, mut evaluation, detach, resume, traceparent } = request;
    takes_work(context)?;
    let own = context.parts.pools.own.as_deref();
    let caller = caller.admitted(own, &evaluation.environment);
    if let Some(why) = missing_variable(&caller.environment, &evaluation.environment_names, own.is_some()) {
        return Err(SubmitError::new(SubmitErrorKind::Argument, why));
    }
    // They may have been uploaded to another node. What is nowhere is missed by those who read it.
    let _ = context.parts.consensus.obtain(uploads(&evaluation)).await;
    let caller = match evaluation.shipped.take() {
        Some(shipped) => place::submitted(context, caller, shipped).await?,
        None => caller,
    };
    let checked = check::check(context, &caller, Checking::submission(context, &evaluation).await?).await?;
    // From here until the log names them, nobody frees the dataset and the sources.
    let held = context.freeing.hold().await;
    let Specified { spec, mut notes } = specification::specify(context, &caller, &evaluation, &checked).await?;
    let uploaded: Vec<Digest> =
        std::iter::once(spec.dataset.digest).chain(spec.shipped.as_ref().and_then(|shipped| shipped.bundle)).collect();
    if resume {
        let found = context.parts.consensus.read_stale(|state| {
            let run = specification::newest_unfinished(state, spec.specification)?;
            Some((run, state.run(run)?.spec.clone()))
        });
        let (run, stored) = found.ok_or_else(specification::nothing_to_resume)?;
        notes.extend(specification::settings_kept(&stored, &spec));
        // The stored run decides how it is executed, so this worker serves only where it fits that.
        let loaded = checked.into_loaded(&stored);
        let handover = Handover { caller: Some(Arc::new(caller)), board: Board::new(received), loaded, traceparent };
        let command = Command::ResumeRun { run, owner: context.parts.node, detached: detach };
        start(context, evaluations, run, handover, by, command).await?;
        uploaded.iter().for_each(|digest| context.parts.blobs.unpin(digest));
        return Ok(Submitted { run, resumed: true, notes });
    }
    let loaded = checked.into_loaded(&spec);
    let handover = Handover { caller: Some(Arc::new(caller)), board: Board::new(received), loaded, traceparent };
    let run = RunId::from(Uuid::now_v7());
    context.parts.consensus.spread(&spec.blobs().collect::<Vec<_>>()).await?;
    let submission = RunSubmission { run, owner: context.parts.node, detached: detach, spec };
    let run = start(context, evaluations, run, handover, by, submission.into()).await?;
    uploaded.iter().for_each(|digest| context.parts.blobs.unpin(digest));
    drop(held);
    Ok(Submitted { run, resumed: false, notes })
}

/// Checks that a stored run can go on with this caller, and continues it or retries what has failed.
pub(crate) async fn resume(
    context: &Arc<NodeContext>,
    evaluations: &ActorRef<EvaluationsMessage>,
    request: ResumeRequest,
) -> Result<Submitted, SubmitError> {
    let ResumeRequest { by, received, caller, run, failed, bundle, detach, traceparent } = request;
    let held = context.parts.consensus.read_stale(|state| state.run(run).cloned());
    let held = held.ok_or_else(|| SubmitError::from(Rejection::RunNotFound(run)))?;
    match (held.progress.status, failed) {
        (RunStatus::Running, false) => {
            return Ok(Submitted { run, resumed: true, notes: vec!["it is running already".to_owned()] });
        }
        (RunStatus::Running, true) => return Err(Rejection::RunRunning.into()),
        (_, true) if held.failed().next().is_none() => return Err(Rejection::NothingFailed.into()),
        (status, false) if !status.is_resumable() => return Err(Rejection::RunNotResumable(status).into()),
        _ => {}
    }
    takes_work(context)?;
    // Another node may have taken the run in.
    context.parts.consensus.obtain(held.spec.blobs()).await?;
    // The run's own directory: relative names keep their meaning wherever the resume is typed.
    let admitted = caller.admitted(context.parts.pools.own.as_deref(), &held.spec.environment);
    let caller = Caller { directory: held.spec.directory.clone().into(), ..admitted };
    let caller = match &held.spec.shipped {
        Some(shipped) => {
            place::same_bundle(shipped, bundle)?;
            place::stored(context, caller, shipped).await?
        }
        None => {
            sources::unchanged(context, &held.spec).await?;
            caller
        }
    };
    let checked = check::check(context, &caller, Checking::stored(context, &held.spec, &caller).await?).await?;
    specification::same_python(&held.spec, &checked, &caller)?;
    let mut notes = specification::notes(&caller, &checked);
    // They were told when the run began, and where they came from then.
    notes.retain(|note| !note.starts_with("Inputs: "));
    let loaded = checked.into_loaded(&held.spec);
    let handover = Handover { caller: Some(Arc::new(caller)), board: Board::new(received), loaded, traceparent };
    let owner = context.parts.node;
    let command = match failed {
        true => Command::RetryRun { run, owner, detached: detach },
        false => Command::ResumeRun { run, owner, detached: detach },
    };
    start(context, evaluations, run, handover, by, command).await?;
    Ok(Submitted { run, resumed: true, notes })
}

/// A run that another node has begun, or this one in its last life, or that this one stopped executing while it could not learn whether
/// the run was still its own: from what the log and the blobs have of it. Without an environment that agrees this node has no workers of
/// it, and plans all the same.
pub(crate) async fn taken_over(
    context: &Arc<NodeContext>,
    run: RunId,
    epoch: u64,
) -> Result<Box<Handover>, SubmitError> {
    let spec = context.parts.consensus.read_stale(|state| state.run(run).map(|held| held.spec.clone()));
    let spec = spec.ok_or_else(|| SubmitError::from(Rejection::RunNotFound(run)))?;
    context.parts.consensus.obtain(spec.blobs()).await?;
    let caller = match (context.parts.pools.own.as_deref(), &spec.shipped) {
        (Some(own), Some(shipped)) => {
            let caller = own.clone().admitted(Some(own), &spec.environment);
            let placed = place::stored(context, caller, shipped).await;
            placed
                .inspect_err(|error| tracing::info!(%run, %error, "this node plans a run and has no workers of it"))
                .ok()
        }
        _ => None,
    };
    let begun = context.boards.begun(run, epoch);
    let board = begun.unwrap_or_else(|| Board::new(std::time::Instant::now()));
    Ok(Box::new(Handover { caller: caller.map(Arc::new), board, loaded: None, traceparent: None }))
}

/// A node that drains would have to hand the run over at once.
fn takes_work(context: &NodeContext) -> Result<(), SubmitError> {
    match context.draining.is_on() {
        true => Err(SubmitError::new(SubmitErrorKind::Draining, REFUSAL)),
        false => Ok(()),
    }
}

/// The blobs that a submission names.
fn uploads(evaluation: &EvaluationRequest) -> impl Iterator<Item = Digest> + use<> {
    let dataset = match &evaluation.dataset {
        DatasetSource::File { digest, .. } => Some(*digest),
        DatasetSource::Python(_) => None,
    };
    let bundle = evaluation.shipped.as_ref().and_then(|shipped| shipped.bundle);
    dataset.into_iter().chain(payload_of(&evaluation.program)).chain(bundle)
}

fn is_running(context: &NodeContext, run: RunId) -> bool {
    let status = context.parts.consensus.read_stale(|state| state.run(run).map(|held| held.progress.status));
    status == Some(RunStatus::Running)
}

/// Hands over what only the caller has, then proposes; the effect of the proposal starts the work. One at a time: two
/// resumes or retries of one run must not take each other's handover away. The one that comes second joins the first.
async fn start(
    context: &NodeContext,
    evaluations: &ActorRef<EvaluationsMessage>,
    run: RunId,
    handover: Handover,
    by: By,
    command: Command,
) -> Result<RunId, SubmitError> {
    let not_yet = |_| {
        let message =
            "the node has started and has not heard yet what became of its last life's runs: is there a quorum?";
        SubmitError::new(SubmitErrorKind::TimedOut, message)
    };
    let _turn = timeout(START_LIMIT, context.starting.lock()).await.map_err(not_yet)?;
    if matches!(command, Command::ResumeRun { .. } | Command::RetryRun { .. }) && is_running(context, run) {
        return Ok(run);
    }
    let gone = || SubmitError::new(SubmitErrorKind::Stopping, "the node is stopping");
    evaluations.cast(EvaluationsMessage::Expect(run, Box::new(handover))).map_err(|_| gone())?;
    let outcome = propose(&context.parts.consensus, by, &command).await;
    let refused = match outcome {
        Ok(Outcome::RunSubmitted { run: stored, .. }) => {
            // The same request was executed before, under another id: this one's handover is for nothing.
            if stored != run {
                let _ = evaluations.cast(EvaluationsMessage::Forget(run));
            }
            return Ok(stored);
        }
        Ok(Outcome::RunResumed { .. }) => return Ok(run),
        Ok(Outcome::Rejected(rejection)) => rejection.into(),
        Ok(other) => SubmitError::new(SubmitErrorKind::Internal, format!("the log answered {other:?}")),
        Err(error) => error.into(),
    };
    let _ = evaluations.cast(EvaluationsMessage::Forget(run));
    Err(refused)
}

impl Checked {
    /// The worker that checked the program, when it has as many threads as the run's first worker is to have.
    fn into_loaded(self, spec: &dspex_model::RunSpec) -> Option<crate::worker::LoadedProcess> {
        let first = crate::evaluation::threads_of(spec.num_threads, spec.workers, 0);
        (self.process.threads == first).then_some(self.process)
    }
}
