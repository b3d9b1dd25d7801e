//! The driver of a payload answers what its workers ask, through whichever node.

use std::sync::Arc;

use dspex_actors::{Asking, Question};
use dspex_api::v1::{DriverAnswer, DriverQuestion};
use dspex_api::{ApiError, reason};
use dspex_model::RunId;
use dspex_python::protocol::Answer;
use futures::{Stream, StreamExt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::{Node, translate};

/// Questions on their way to a slow driver; the others wait on the board.
const QUEUE: usize = 64;
/// Answers on their way to the run's owner; then the driver waits.
const ANSWERS: usize = 64;

/// Questions of the run that the first answer names, until the driver goes, another one comes, or the run has ended.
pub(super) async fn questions(
    node: Arc<Node>,
    mut answers: Streaming<DriverAnswer>,
) -> Result<impl Stream<Item = Result<DriverQuestion, Status>>, Status> {
    let first =
        answers.next().await.transpose()?.ok_or_else(|| {
            Status::from(ApiError::invalid(reason::REQUEST_INVALID, "the first message names the run"))
        })?;
    let run = translate::run_id(&first.run_id)?;
    // One that has ended asks nothing: its stream ends at once.
    node.known(run).await?;
    let asking = node.tree.asking(run);
    let (sender, receiver) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        let _call = node.activity.enter();
        // Neither waits for the other; the end of one is the end of both.
        tokio::select! {
            () = ask(asking, sender) => {}
            () = bring(&node, run, answers) => {}
        }
    });
    Ok(ReceiverStream::new(receiver))
}

async fn ask(mut asking: Asking, sender: mpsc::Sender<Result<DriverQuestion, Status>>) {
    loop {
        let questions = tokio::select! {
            questions = asking.next() => questions,
            () = sender.closed() => return,
        };
        // Somebody else answers now, or the run has ended.
        let Some(questions) = questions else { return };
        for Question { worker, id, index, body } in questions {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            if sender.send(Ok(DriverQuestion { worker, id, index, body })).await.is_err() {
                return;
            }
        }
    }
}

async fn bring(node: &Arc<Node>, run: RunId, mut answers: Streaming<DriverAnswer>) {
    let mut under_way = JoinSet::new();
    while let Some(Ok(DriverAnswer { worker, id, body, error, .. })) = answers.next().await {
        while under_way.len() >= ANSWERS {
            under_way.join_next().await;
        }
        let node = Arc::clone(node);
        under_way.spawn(async move { node.tree.answer(run, worker, Answer { id, body, error }).await });
        while under_way.try_join_next().is_some() {}
    }
    // The driver is gone; what it has answered still counts.
    while under_way.join_next().await.is_some() {}
}
