//! The driver of a payload answers what its workers ask.

use std::sync::Arc;

use dspex_api::v1::{DriverAnswer, DriverQuestion};
use dspex_api::{ApiError, reason};
use dspex_python::protocol::Answer;
use futures::{Stream, StreamExt};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::{Node, translate};

/// Questions on their way to a slow driver; the others wait on the board.
const QUEUE: usize = 64;

/// Questions of the run that the first answer names, until the driver goes.
pub(super) async fn questions(
    node: Arc<Node>,
    mut answers: Streaming<DriverAnswer>,
) -> Result<impl Stream<Item = Result<DriverQuestion, Status>>, Status> {
    let first =
        answers.next().await.transpose()?.ok_or_else(|| {
            Status::from(ApiError::invalid(reason::REQUEST_INVALID, "the first message names the run"))
        })?;
    let run = translate::run_id(&first.run_id)?;
    let board = node.tree.board(run).ok_or_else(|| {
        Status::from(ApiError::precondition(reason::RUN_ENDED, format!("the run {run} is not executing here")))
    })?;
    let mut asked = board.questions();
    let (sender, receiver) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        let _call = node.activity.enter();
        loop {
            tokio::select! {
                question = asked.recv() => {
                    // Somebody else answers now, or the run has ended.
                    let Some(question) = question else { return };
                    let question = DriverQuestion {
                        worker: question.worker,
                        id: question.id,
                        index: u32::try_from(question.index).unwrap_or(u32::MAX),
                        body: question.body,
                    };
                    if sender.send(Ok(question)).await.is_err() {
                        return;
                    }
                }
                answer = answers.next() => {
                    let Some(Ok(DriverAnswer { worker, id, body, error, .. })) = answer else { return };
                    node.tree.answer(run, &worker, Answer { id, body, error });
                }
            }
        }
    });
    Ok(ReceiverStream::new(receiver))
}
