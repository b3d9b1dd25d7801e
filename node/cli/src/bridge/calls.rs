//! Calls of a pool over one stream: many in a frame, each way.

use std::collections::BTreeMap;

use bytes::Bytes;
use dspex_api::Client;
use dspex_api::v1::{CallPoolRequest, CallPoolResponse};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use super::answers::Body;
use super::frames::{Outgoing, read};
use super::messages::{Failure, Part, code_name};
use super::requests::Bridge;

/// Calls on their way to the node.
const QUEUE: usize = 1024;
/// Answers in one frame.
const BATCH: usize = 256;
/// And so many bytes, more or less: a frame holds 32 MiB, and an answer 16.
const BATCH_BYTES: usize = 4 << 20;

/// A call, on the wire an array.
#[derive(Debug, Deserialize)]
struct Call(u64, String, Bytes, Option<u64>, Option<u64>, Option<u32>, Option<String>);

/// Its answer.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    id: u64,
    result: Option<Bytes>,
    worker: String,
    queued_us: u64,
    executed_us: u64,
    attempt: u32,
    error: Option<CallError>,
}

#[derive(Debug, Serialize)]
struct CallError {
    code: &'static str,
    reason: String,
    message: String,
    metadata: BTreeMap<String, String>,
}

impl From<CallPoolResponse> for Answer {
    fn from(response: CallPoolResponse) -> Self {
        let error = response.error.map(|error| CallError {
            code: code_name(error.code.into()),
            reason: error.reason,
            message: error.message,
            metadata: error.metadata,
        });
        Self {
            id: response.id,
            result: error.is_none().then_some(response.result),
            worker: response.worker,
            queued_us: response.queued_us,
            executed_us: response.executed_us,
            attempt: response.attempt,
            error,
        }
    }
}

/// Passes calls on and answers back until the program closes the stream.
pub(super) async fn pass_on(
    bridge: &Bridge,
    client: &Client,
    id: u64,
    pool_id: String,
    parts: mpsc::Receiver<Part>,
) -> Result<(), Failure> {
    let (sender, requests) = mpsc::channel(QUEUE);
    let mut answers = client.call_pool_stream(ReceiverStream::new(requests)).await?;
    let sending = tokio::spawn(send(parts, sender, pool_id));
    let (mut gathered, mut size) = (Vec::new(), 0);
    loop {
        let next = match futures_now(&mut answers) {
            // What is there already travels together.
            Some(next) if gathered.len() < BATCH && size < BATCH_BYTES => next,
            held => {
                if !gathered.is_empty() {
                    let answers = std::mem::take(&mut gathered);
                    size = 0;
                    bridge.send(Outgoing::Item { id, body: Body::Answers { answers } }).await;
                }
                match held {
                    Some(next) => next,
                    None => answers.next().await,
                }
            }
        };
        match next {
            Some(Ok(response)) => {
                size += response.result.len();
                gathered.push(Answer::from(response));
            }
            Some(Err(status)) => {
                sending.abort();
                return Err(Failure::Api(status.into()));
            }
            None => break,
        }
    }
    if !gathered.is_empty() {
        bridge.send(Outgoing::Item { id, body: Body::Answers { answers: gathered } }).await;
    }
    match sending.await {
        Ok(Err(why)) => Err(Failure::Own(crate::error::CommandError::usage(why))),
        _ => Ok(()),
    }
}

/// The next of a stream if it is there; `None`: not yet.
fn futures_now<S: tokio_stream::Stream + Unpin>(stream: &mut S) -> Option<Option<S::Item>> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::Pin::new(stream).poll_next(&mut context) {
        std::task::Poll::Ready(next) => Some(next),
        std::task::Poll::Pending => None,
    }
}

async fn send(
    mut parts: mpsc::Receiver<Part>,
    sender: mpsc::Sender<CallPoolRequest>,
    pool_id: String,
) -> Result<(), String> {
    while let Some(Part { data, end, .. }) = parts.recv().await {
        let calls: Vec<Call> = if data.is_empty() { Vec::new() } else { read(&data)? };
        for Call(id, command, arguments, queue_timeout_ms, timeout_ms, retries, traceparent) in calls {
            let request = CallPoolRequest {
                pool_id: pool_id.clone(),
                command,
                arguments,
                queue_timeout_ms,
                timeout_ms,
                retries,
                id,
                traceparent: traceparent.unwrap_or_default(),
            };
            if sender.send(request).await.is_err() {
                return Ok(());
            }
        }
        if end {
            break;
        }
    }
    Ok(())
}
