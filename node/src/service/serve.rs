//! The driver of a payload answers what its workers ask, through whichever node.

use std::sync::Arc;

use dspex_actors::{Asking, Question};
use dspex_api::v1::{DriverAnswer, DriverQuestion};
use dspex_api::{ApiError, reason};
use dspex_model::RunId;
use dspex_python::protocol::Answer;
use futures::{Stream, StreamExt};
use tokio::sync::{Semaphore, mpsc};
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
    let deliveries = Deliveries::default();
    while let Some(Ok(DriverAnswer { worker, id, body, error, .. })) = answers.next().await {
        let node = Arc::clone(node);
        let delivery = async move {
            let _call = node.activity.enter();
            node.tree.answer(run, worker, Answer { id, body, error }).await;
        };
        deliveries.begin(delivery).await;
    }
}

/// What a driver has answered counts, also when its connection breaks before that has reached the run's owner: else the driver would
/// be asked, and its LM be paid, once more. Each delivery ends by itself in time.
struct Deliveries(Arc<Semaphore>);

impl Default for Deliveries {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ANSWERS)))
    }
}

impl Deliveries {
    /// Waits for a place.
    async fn begin(&self, delivery: impl Future<Output = ()> + Send + 'static) {
        // Never closed.
        let place = Arc::clone(&self.0).acquire_owned().await;
        tokio::spawn(async move {
            delivery.await;
            drop(place);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn an_answer_that_is_on_its_way_arrives_though_the_driver_is_gone() {
        let (go, may_go) = oneshot::channel::<()>();
        let (arrive, arrived) = oneshot::channel();
        let deliveries = Deliveries::default();
        let delivery = async move {
            let _ = may_go.await;
            let _ = arrive.send(());
        };
        deliveries.begin(delivery).await;
        drop(deliveries);
        go.send(()).expect("it is under way");
        timeout(Duration::from_secs(10), arrived).await.expect("in time").expect("it has arrived");
    }

    #[tokio::test]
    async fn so_many_answers_are_on_their_way_and_then_the_driver_waits() {
        let deliveries = Deliveries::default();
        for _ in 0..ANSWERS {
            deliveries.begin(std::future::pending()).await;
        }
        let one_more = deliveries.begin(std::future::pending());
        assert!(timeout(Duration::from_millis(50), one_more).await.is_err());
    }
}
