//! Following a run: progress from the log, at most ten times a second, and prints and warnings from its board.

use std::sync::Arc;
use std::time::Duration;

use dspex_actors::{Attendance, Board, BoardEvent, DriverGuard};
use dspex_api::v1::{self, Output, RunEvent, run_event::Event};
use dspex_model::RunId;
use futures::Stream;
use tokio::sync::{broadcast, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::Node;

/// Progress is coalesced to this.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);
/// Events that wait for a slow reader; then the sender waits, and progress in between is left out.
const QUEUE: usize = 64;

/// Events until the run has ended or nobody listens.
pub(super) fn events(
    node: Arc<Node>,
    run: RunId,
    from_seq: u64,
    driver: bool,
) -> impl Stream<Item = Result<RunEvent, Status>> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        let _call = node.activity.enter();
        let board = node.tree.board(run);
        let guard = driver.then(|| (board.as_ref().map(Board::drive), node.tree.attend(run)));
        let watcher =
            Watcher { applied: node.consensus.watch(), node: Arc::clone(&node), run, from_seq, sender, _driver: guard };
        // A reader that is gone ends the watch; so does the end of the node.
        let _ = watcher.follow(board).await;
    });
    ReceiverStream::new(receiver)
}

struct Watcher {
    node: Arc<Node>,
    run: RunId,
    from_seq: u64,
    applied: watch::Receiver<u64>,
    sender: mpsc::Sender<Result<RunEvent, Status>>,
    _driver: Option<(Option<DriverGuard>, Attendance)>,
}

/// Nobody reads any more.
struct Gone;

impl Watcher {
    async fn follow(mut self, board: Option<Arc<Board>>) -> Result<(), Gone> {
        let mut prints = match board {
            Some(board) => {
                let (missed, prints) = board.subscribe();
                for event in missed {
                    self.print(event).await?;
                }
                Some(prints)
            }
            None => None,
        };
        let mut pace = tokio::time::interval(PROGRESS_EVERY);
        let mut shown = None;
        loop {
            tokio::select! {
                _ = pace.tick() => {
                    if !self.applied.has_changed().map_err(|_| Gone)? && shown.is_some() {
                        if self.sender.is_closed() { return Err(Gone) }
                        continue;
                    }
                    if self.progress(&mut shown).await? {
                        return self.rest(&mut prints).await;
                    }
                }
                changed = ended_soon(&mut self.applied, &self.node, self.run) => {
                    changed?;
                    self.rest(&mut prints).await?;
                    self.progress(&mut shown).await?;
                    return Ok(());
                }
                event = next_print(&mut prints) => self.print(event).await?,
                () = self.sender.closed() => return Err(Gone),
            }
        }
    }

    /// Sends the run when it has changed; `true` when that was the last of it.
    async fn progress(&mut self, shown: &mut Option<v1::Run>) -> Result<bool, Gone> {
        let seq = *self.applied.borrow_and_update();
        let run = match self.node.run(self.run) {
            Ok(run) => run,
            Err(error) => {
                self.sender.send(Err(error.into())).await.map_err(|_| Gone)?;
                return Err(Gone);
            }
        };
        let ended = run.status() != v1::RunStatus::Running;
        if !ended && (seq <= self.from_seq || shown.as_ref().is_some_and(|last| last.done == run.done)) {
            return Ok(false);
        }
        *shown = Some(run.clone());
        let event = if ended { Event::Ended(run) } else { Event::Progress(run) };
        self.send(seq, event).await?;
        Ok(ended)
    }

    /// What was printed before the end.
    async fn rest(&mut self, prints: &mut Option<broadcast::Receiver<BoardEvent>>) -> Result<(), Gone> {
        while let Some(event) = prints.as_mut().and_then(waiting) {
            self.print(event).await?;
        }
        Ok(())
    }

    async fn print(&mut self, event: BoardEvent) -> Result<(), Gone> {
        let event = match event {
            BoardEvent::Output { worker, text, dropped_bytes } => Event::Output(Output { worker, text, dropped_bytes }),
            BoardEvent::Warning(text) => Event::Warning(text),
        };
        let seq = *self.applied.borrow();
        self.send(seq, event).await
    }

    async fn send(&mut self, seq: u64, event: Event) -> Result<(), Gone> {
        self.sender.send(Ok(RunEvent { seq, event: Some(event) })).await.map_err(|_| Gone)
    }
}

/// Completes as soon as the run is not running, so that its end is not kept waiting for the pace.
async fn ended_soon(applied: &mut watch::Receiver<u64>, node: &Node, run: RunId) -> Result<(), Gone> {
    let mut applied = applied.clone();
    loop {
        let running = node.consensus.read_stale(|state| {
            state.run(run).is_some_and(|held| held.progress.status == dspex_model::RunStatus::Running)
        });
        if !running {
            return Ok(());
        }
        applied.changed().await.map_err(|_| Gone)?;
    }
}

async fn next_print(prints: &mut Option<broadcast::Receiver<BoardEvent>>) -> BoardEvent {
    loop {
        let Some(receiver) = prints.as_mut() else { return std::future::pending().await };
        match receiver.recv().await {
            Ok(event) => return event,
            Err(broadcast::error::RecvError::Lagged(missed)) => {
                return left_out(missed);
            }
            Err(broadcast::error::RecvError::Closed) => *prints = None,
        }
    }
}

/// An event that is there already. A reader that fell behind hears so, and then of what is left.
fn waiting(prints: &mut broadcast::Receiver<BoardEvent>) -> Option<BoardEvent> {
    match prints.try_recv() {
        Ok(event) => Some(event),
        Err(broadcast::error::TryRecvError::Lagged(missed)) => Some(left_out(missed)),
        Err(broadcast::error::TryRecvError::Empty | broadcast::error::TryRecvError::Closed) => None,
    }
}

fn left_out(missed: u64) -> BoardEvent {
    BoardEvent::Warning(format!("{missed} lines of output were left out: they came too fast"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_fell_behind_is_told_and_gets_the_rest() {
        let (sender, mut prints) = broadcast::channel(2);
        for line in 0..5 {
            sender.send(BoardEvent::Warning(line.to_string())).expect("somebody listens");
        }
        let rest: Vec<BoardEvent> = std::iter::from_fn(|| waiting(&mut prints)).collect();
        assert_eq!(rest, [left_out(3), BoardEvent::Warning("3".to_owned()), BoardEvent::Warning("4".to_owned())]);
    }
}
