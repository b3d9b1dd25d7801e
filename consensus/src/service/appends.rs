//! Appends of one connection: handed to openraft in their order, many at a time, answered in their order.

use std::collections::VecDeque;

use dspex_transport::Request;
use futures::stream::{self, Stream, StreamExt};
use openraft::raft::AppendEntriesRequest;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use super::PeerService;
use crate::codec::wire;
use crate::types::Types;

/// Until the connection ends. A refused append ends openraft's stream: what was sent behind it is for a log that this
/// node does not have, and is refused as well; then another stream begins.
pub(super) async fn run(service: PeerService, mut requests: UnboundedReceiver<Request>) {
    while let Some(first) = requests.recv().await {
        let Some(served) = service.get() else {
            first.fail("consensus is ending").await;
            continue;
        };
        let mut pipeline = Pipeline::default();
        let (feed, fed) = mpsc::unbounded_channel();
        let answers = served.raft.stream_append(entries(fed));
        drop(served);
        let mut answers = std::pin::pin!(answers);
        pipeline.feed(&service, &feed, first).await;
        while !pipeline.is_empty() {
            tokio::select! {
                answer = answers.next() => match answer {
                    Some(Ok(appended)) => {
                        let refused = appended.is_err();
                        pipeline.answer(&appended).await;
                        if refused {
                            break;
                        }
                    }
                    Some(Err(error)) => return pipeline.fail(&error.to_string()).await,
                    None => break,
                },
                Some(request) = requests.recv() => pipeline.feed(&service, &feed, request).await,
            }
        }
        pipeline.fail("an append before it was refused").await;
    }
}

fn entries(fed: UnboundedReceiver<AppendEntriesRequest<Types>>) -> impl Stream<Item = AppendEntriesRequest<Types>> {
    stream::unfold(fed, |mut fed| async move { fed.recv().await.map(|append| (append, fed)) })
}

/// Requests that openraft has, in their order. As many as the connection has places.
#[derive(Default)]
struct Pipeline {
    waiting: VecDeque<Request>,
}

impl Pipeline {
    fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    async fn feed(
        &mut self,
        service: &PeerService,
        feed: &UnboundedSender<AppendEntriesRequest<Types>>,
        request: Request,
    ) {
        let append = wire::decode_append(&request.body).and_then(|append| match service.get() {
            Some(served) => served.contradictions.check(&served.raft, &append).map(|()| append),
            // openraft's stream says why.
            None => Ok(append),
        });
        match append {
            Ok(append) => {
                self.waiting.push_back(request);
                // Fails when openraft has stopped; its stream says why.
                let _ = feed.send(append);
            }
            Err(error) => request.fail(error.to_string()).await,
        }
    }

    async fn answer(&mut self, appended: &wire::Appended) {
        if let Some(request) = self.waiting.pop_front() {
            request.reply(wire::encode_appended(appended)).await;
        }
    }

    async fn fail(&mut self, why: &str) {
        for request in self.waiting.drain(..) {
            request.fail(why).await;
        }
    }
}
