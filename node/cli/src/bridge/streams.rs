//! The streams of a run: its events, its results, its questions. When the node that they come from is lost, they go on from another
//! node of its cluster, where they were.

use std::collections::HashSet;

use dspex_api::v1::{DriverAnswer, DriverQuestion, RunEvent, RunResultsRequest, WatchRunRequest, run_event};
use dspex_api::{Address, ApiError, Client};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use super::PARTS;
use super::answering::Answers;
use super::answers::{Body, Event, Nothing};
use super::current::Next;
use super::frames::Outgoing;
use super::messages::{Failure, Part};
use super::requests::Bridge;
use crate::other_nodes::{Loss, goes_on, loss};

/// Nodes that are lost one after the other without anything between them.
const LOSSES_MAX: u32 = 3;
const LEADERLESS: &str = "no node of the cluster hears of a leader: the run is followed again when there is one";

const NOTHING: Body = Body::Nothing(Nothing {});

/// A stream over all nodes that it comes from.
struct Course {
    run_id: String,
    /// Nodes lost since the last item.
    losses: u32,
    /// Nobody has a leader, which has been said.
    is_leaderless: bool,
}

/// How a stream of one node came to its end.
enum Ending {
    /// As it should.
    Done,
    /// Without what should come last.
    BrokenOff,
    /// Another stream has lost the node, and found the next one.
    Moved,
}

impl Course {
    fn new(run_id: &str) -> Self {
        Self { run_id: run_id.to_owned(), losses: 0, is_leaderless: false }
    }

    /// An event came. Progress is of the log, so there is a leader; prints of the node itself come without one.
    fn goes_on(&mut self, event: &RunEvent) {
        self.losses = 0;
        self.is_leaderless &= !matches!(event.event, Some(run_event::Event::Progress(_)));
    }
}

impl Bridge {
    pub(super) async fn watch(&self, id: u64, mut request: WatchRunRequest) -> Result<Body, Failure> {
        let mut course = Course::new(&request.run_id);
        self.learn_again();
        loop {
            let (client, turn) = self.current()?;
            let was_leaderless = course.is_leaderless;
            let passed = self.pass_events((&client, turn), id, &mut request, &mut course).await;
            if self.is_done(passed, turn, &mut course).await? {
                return Ok(NOTHING);
            }
            if course.is_leaderless && !was_leaderless {
                let warning = run_event::Event::Warning(LEADERLESS.to_owned());
                self.pass_event(id, RunEvent { event: Some(warning), ..RunEvent::default() }).await;
            }
        }
    }

    async fn pass_events(
        &self,
        (client, turn): (&Client, u32),
        id: u64,
        request: &mut WatchRunRequest,
        course: &mut Course,
    ) -> Result<Ending, Failure> {
        let client = client.attentive().await?;
        let mut events = client.watch(request.clone()).await?;
        loop {
            let event = tokio::select! {
                event = events.message() => event.map_err(ApiError::from)?,
                () = self.moved(turn) => return Ok(Ending::Moved),
            };
            let Some(event) = event else { return Ok(Ending::BrokenOff) };
            course.goes_on(&event);
            request.from_seq = request.from_seq.max(event.seq);
            request.after = event.line.or(request.after);
            let is_last = matches!(event.event, Some(run_event::Event::Ended(_)));
            self.pass_event(id, event).await;
            if is_last {
                return Ok(Ending::Done);
            }
        }
    }

    async fn pass_event(&self, id: u64, event: RunEvent) {
        if let Some(event) = Event::of(event) {
            self.send(Outgoing::Item { id, body: Body::Event(Box::new(event)) }).await;
        }
    }

    pub(super) async fn results(&self, id: u64, request: RunResultsRequest) -> Result<Body, Failure> {
        let mut course = Course::new(&request.run_id);
        let mut passed = HashSet::new();
        loop {
            let (client, turn) = self.current()?;
            let ended = self.pass_results((&client, turn), id, &request, &mut passed, &mut course).await;
            if self.is_done(ended, turn, &mut course).await? {
                return Ok(NOTHING);
            }
        }
    }

    /// What another node has sent already is not sent again.
    async fn pass_results(
        &self,
        (client, turn): (&Client, u32),
        id: u64,
        request: &RunResultsRequest,
        passed: &mut HashSet<u32>,
        course: &mut Course,
    ) -> Result<Ending, Failure> {
        // What is only fetched may come over a slow line, and is waited for with patience.
        let client = &if request.follow { client.attentive().await? } else { client.clone() };
        let mut batches = client.results(request.clone()).await?;
        loop {
            let batch = tokio::select! {
                batch = batches.message() => batch.map_err(ApiError::from)?,
                () = self.moved(turn) => return Ok(Ending::Moved),
            };
            let Some(batch) = batch else { break };
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

    pub(super) async fn serve(&self, id: u64, run_id: String, parts: mpsc::Receiver<Part>) -> Result<Body, Failure> {
        let mut course = Course::new(&run_id);
        let mut answers = Answers::new(parts);
        loop {
            let (client, turn) = self.current()?;
            let ended = self.pass_questions((&client, turn), id, &mut answers, &mut course).await;
            // For the next node, which asks again.
            answers.keep();
            let is_done = answers.meanwhile(self.is_done(ended, turn, &mut course)).await?.transpose()?;
            if is_done.unwrap_or(true) {
                return Ok(NOTHING);
            }
        }
    }

    async fn pass_questions(
        &self,
        (client, turn): (&Client, u32),
        id: u64,
        answers: &mut Answers,
        course: &mut Course,
    ) -> Result<Ending, Failure> {
        let (sender, receiver) = mpsc::channel(PARTS);
        let first = DriverAnswer { run_id: course.run_id.clone(), ..DriverAnswer::default() };
        // The receiver is in hand.
        let _ = sender.send(first).await;
        let opening = async {
            let client = client.attentive().await?;
            let questions = client.serve_run(ReceiverStream::new(receiver)).await?;
            Ok::<_, ApiError>((client, questions))
        };
        let Some(opened) = answers.meanwhile(opening).await? else { return Ok(Ending::Done) };
        let (client, mut questions) = opened?;
        // It asks once more what was answered meanwhile, or nobody waits for that.
        answers.keep();
        loop {
            tokio::select! {
                question = questions.next() => match question {
                    Some(Ok(DriverQuestion { worker, id: number, index, body })) => {
                        course.losses = 0;
                        if answers.is_new(&worker, number) {
                            let body = Body::Question { worker, id: number, index, body };
                            self.send(Outgoing::Item { id, body }).await;
                        }
                    }
                    Some(Err(status)) => return Err(Failure::Api(status.into())),
                    // The run asks no more, or another driver. A node that stops ends the stream as well, and then does not answer.
                    None => {
                        if let Some(run) = answers.meanwhile(client.run(&course.run_id)).await? {
                            run?;
                        }
                        return Ok(Ending::Done);
                    }
                },
                () = self.moved(turn) => return Ok(Ending::Moved),
                goes_on = answers.take() => if !goes_on? { return Ok(Ending::Done) },
                place = sender.reserve(), if answers.has_given() => {
                    let Ok(place) = place else { return Ok(Ending::BrokenOff) };
                    if let Some(answer) = answers.next() {
                        place.send(answer);
                    }
                }
            }
        }
    }

    /// After a stream's end at one node: whether that is its end, or it goes on at another one.
    async fn is_done(&self, ended: Result<Ending, Failure>, turn: u32, course: &mut Course) -> Result<bool, Failure> {
        let (loss, lost) = match ended {
            Ok(Ending::Done) => return Ok(true),
            Ok(Ending::Moved) => return Ok(false),
            // A node that has none beside it has said all that there is.
            Ok(Ending::BrokenOff) => (Loss::Node, Ok(true)),
            Err(Failure::Api(error)) => match loss(&error) {
                Some(loss) => (loss, Err(Failure::Api(error))),
                None => return Err(Failure::Api(error)),
            },
            Err(error) => return Err(error),
        };
        if loss == Loss::Node {
            course.losses += 1;
            if course.losses > LOSSES_MAX {
                return lost;
            }
        }
        match self.move_on(turn, &course.run_id, loss).await {
            Next::There => Ok(false),
            Next::Here => {
                course.is_leaderless = true;
                Ok(false)
            }
            Next::Nowhere => lost,
        }
    }
}
