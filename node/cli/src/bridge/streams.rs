//! The streams of a run: its events, its results, its questions. When the node that they come from is lost, they go on from another
//! node of its cluster, where they were.

use std::collections::HashSet;

use bytes::Bytes;
use dspex_api::v1::{DriverAnswer, DriverQuestion, RunResultsRequest, WatchRunRequest, run_event};
use dspex_api::{Address, ApiError, Client};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use super::PARTS;
use super::answers::{Body, Event, Nothing};
use super::frames::{Outgoing, read};
use super::messages::{Failure, Part};
use super::requests::Bridge;
use crate::error::CommandError;
use crate::other_nodes::{goes_on, is_lost};

/// Nodes that are lost one after the other without anything between them.
const LOSSES_MAX: u32 = 3;

const NOTHING: Body = Body::Nothing(Nothing {});

/// A stream over all nodes that it comes from.
struct Course {
    run_id: String,
    /// Nodes lost since the last item.
    losses: u32,
}

/// How a stream of one node came to its end.
enum Ending {
    /// As it should.
    Done,
    /// Without what should come last.
    BrokenOff,
}

impl Course {
    fn new(run_id: &str) -> Self {
        Self { run_id: run_id.to_owned(), losses: 0 }
    }
}

impl Bridge {
    pub(super) async fn watch(&self, id: u64, mut request: WatchRunRequest) -> Result<Body, Failure> {
        let mut course = Course::new(&request.run_id);
        loop {
            let (client, turn) = self.current()?;
            let passed = self.pass_events(&client, id, &mut request, &mut course).await;
            if self.is_done(passed, turn, &mut course).await? {
                return Ok(NOTHING);
            }
        }
    }

    async fn pass_events(
        &self,
        client: &Client,
        id: u64,
        request: &mut WatchRunRequest,
        course: &mut Course,
    ) -> Result<Ending, Failure> {
        let mut events = client.watch(request.clone()).await?;
        while let Some(event) = events.message().await.map_err(ApiError::from)? {
            course.losses = 0;
            request.from_seq = request.from_seq.max(event.seq);
            request.after = event.line.or(request.after);
            let is_last = matches!(event.event, Some(run_event::Event::Ended(_)));
            if let Some(event) = Event::of(event) {
                self.send(Outgoing::Item { id, body: Body::Event(Box::new(event)) }).await;
            }
            if is_last {
                return Ok(Ending::Done);
            }
        }
        Ok(Ending::BrokenOff)
    }

    pub(super) async fn results(&self, id: u64, request: RunResultsRequest) -> Result<Body, Failure> {
        let mut course = Course::new(&request.run_id);
        let mut passed = HashSet::new();
        loop {
            let (client, turn) = self.current()?;
            let ended = self.pass_results(&client, id, &request, &mut passed, &mut course).await;
            if self.is_done(ended, turn, &mut course).await? {
                return Ok(NOTHING);
            }
        }
    }

    /// What another node has sent already is not sent again.
    async fn pass_results(
        &self,
        client: &Client,
        id: u64,
        request: &RunResultsRequest,
        passed: &mut HashSet<u32>,
        course: &mut Course,
    ) -> Result<Ending, Failure> {
        let mut batches = client.results(request.clone()).await?;
        while let Some(batch) = batches.message().await.map_err(ApiError::from)? {
            let results: Vec<_> = batch.results.into_iter().filter(|result| passed.insert(result.index)).collect();
            if !results.is_empty() {
                course.losses = 0;
                let results = results.into_iter().map(Into::into).collect();
                self.send(Outgoing::Item { id, body: Body::Results { results } }).await;
            }
        }
        if !request.follow || matches!(client.address(), Address::Unix(_)) {
            return Ok(Ending::Done);
        }
        // A node that stops ends the stream as well.
        let run = client.run(&request.run_id).await?;
        let has_all = !goes_on(&run) && passed.len() >= run.done as usize;
        Ok(if has_all { Ending::Done } else { Ending::BrokenOff })
    }

    pub(super) async fn serve(
        &self,
        id: u64,
        run_id: String,
        mut parts: mpsc::Receiver<Part>,
    ) -> Result<Body, Failure> {
        let mut course = Course::new(&run_id);
        let mut open = HashSet::new();
        loop {
            let (client, turn) = self.current()?;
            let ended = self.pass_questions(&client, id, &mut parts, &mut open, &mut course).await;
            if self.is_done(ended, turn, &mut course).await? {
                return Ok(NOTHING);
            }
        }
    }

    /// `open`: questions that the program has and has not answered. Another node asks them again.
    async fn pass_questions(
        &self,
        client: &Client,
        id: u64,
        parts: &mut mpsc::Receiver<Part>,
        open: &mut HashSet<(String, u64)>,
        course: &mut Course,
    ) -> Result<Ending, Failure> {
        let (sender, receiver) = mpsc::channel(PARTS);
        let first = DriverAnswer { run_id: course.run_id.clone(), ..DriverAnswer::default() };
        // The receiver is in hand.
        let _ = sender.send(first).await;
        let mut questions = client.serve_run(ReceiverStream::new(receiver)).await?;
        loop {
            tokio::select! {
                question = questions.next() => match question {
                    Some(Ok(DriverQuestion { worker, id: number, index, body })) => {
                        course.losses = 0;
                        if open.insert((worker.clone(), number)) {
                            let body = Body::Question { worker, id: number, index, body };
                            self.send(Outgoing::Item { id, body }).await;
                        }
                    }
                    Some(Err(status)) => return Err(Failure::Api(status.into())),
                    // The run asks no more, or another driver. A node that stops ends the stream as well, and then does not answer.
                    None => {
                        client.run(&course.run_id).await?;
                        return Ok(Ending::Done);
                    }
                },
                part = parts.recv() => {
                    let Some(Part { data, end, .. }) = part else { return Ok(Ending::Done) };
                    if !data.is_empty() {
                        let GivenAnswer { worker, id, body, error } = read(&data).map_err(CommandError::usage)?;
                        open.remove(&(worker.clone(), id));
                        let answer = DriverAnswer { run_id: String::new(), worker, id, body, error };
                        if sender.send(answer).await.is_err() {
                            return Ok(Ending::BrokenOff);
                        }
                    }
                    if end {
                        return Ok(Ending::Done);
                    }
                }
            }
        }
    }

    /// After a stream's end at one node: whether that is its end, or it goes on at another one.
    async fn is_done(&self, ended: Result<Ending, Failure>, turn: u32, course: &mut Course) -> Result<bool, Failure> {
        let lost = match ended {
            Ok(Ending::Done) => return Ok(true),
            // A node that has none beside it has said all that there is.
            Ok(Ending::BrokenOff) => Ok(true),
            Err(Failure::Api(error)) if is_lost(&error) => Err(Failure::Api(error)),
            Err(error) => return Err(error),
        };
        course.losses += 1;
        if course.losses <= LOSSES_MAX && self.move_on(turn, &course.run_id).await { Ok(false) } else { lost }
    }
}

#[derive(Debug, Deserialize)]
struct GivenAnswer {
    worker: String,
    id: u64,
    body: Option<Bytes>,
    error: Option<String>,
}
