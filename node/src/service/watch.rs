//! Following a run: progress from the log, at most ten times a second, and prints and warnings from the board of its owner, whichever
//! node that is.

use std::sync::Arc;
use std::time::Duration;

use dspex_actors::{Attendance, Board, DriverGuard, Following, Told};
use dspex_api::v1::{self, Output, RunEvent, WatchRunRequest, run_event::Event};
use dspex_api::{ApiError, reason};
use dspex_consensus::{Consensus, Freshness, ReadError};
use dspex_model::{BoardEvent, LineCursor, RunId};
use futures::Stream;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::Node;

/// Progress is coalesced to this.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);
/// Events that wait for a slow reader; then the sender waits, progress in between is left out, and so are lines that are kept no
/// more when it goes on.
const QUEUE: usize = 64;
/// While nothing is applied, the leader is asked so often whether it is there.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// An election takes less.
const LEADERLESS_MAX: Duration = Duration::from_secs(5);

/// Events until the run has ended or nobody listens.
pub(super) fn events(
    node: Arc<Node>,
    run: RunId,
    request: &WatchRunRequest,
) -> impl Stream<Item = Result<RunEvent, Status>> + use<> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let &WatchRunRequest { from_seq, driver, ref after, .. } = request;
    let after = after.as_ref().map(|v1::LineCursor { epoch, number }| LineCursor { epoch: *epoch, number: *number });
    tokio::spawn(async move {
        let _call = node.activity.enter();
        let board = node.tree.board(run);
        let guard = driver.then(|| (board.as_ref().map(Board::drive), node.tree.attend(run)));
        let watcher = Watcher {
            applied: node.consensus.watch(),
            lines: node.tree.follow(run, after.unwrap_or_default()),
            node: Arc::clone(&node),
            run,
            from_seq,
            sender,
            _driver: guard,
        };
        // A reader that is gone ends the watch; so does the end of the node.
        let _ = watcher.follow().await;
    });
    ReceiverStream::new(receiver)
}

struct Watcher {
    node: Arc<Node>,
    run: RunId,
    from_seq: u64,
    applied: watch::Receiver<u64>,
    lines: Following,
    sender: mpsc::Sender<Result<RunEvent, Status>>,
    _driver: Option<(Option<DriverGuard>, Attendance)>,
}

/// Nobody reads any more.
struct Gone;

impl Watcher {
    async fn follow(mut self) -> Result<(), Gone> {
        let mut pace = tokio::time::interval(PROGRESS_EVERY);
        let mut shown = None;
        let cut_off = cut_off(self.node.consensus.clone());
        tokio::pin!(cut_off);
        loop {
            tokio::select! {
                _ = pace.tick() => {
                    if !self.applied.has_changed().map_err(|_| Gone)? && shown.is_some() {
                        if self.sender.is_closed() { return Err(Gone) }
                    } else if is_running(&self.node, self.run) {
                        self.progress(&mut shown).await?;
                    } else {
                        return self.end(&mut shown).await;
                    }
                }
                changed = ended_soon(&mut self.applied, &self.node, self.run) => {
                    changed?;
                    return self.end(&mut shown).await;
                }
                told = self.lines.next() => self.tell(told).await?,
                () = &mut cut_off => {
                    // Another node may know how the run goes on.
                    let text = "this node hears of no leader, and cannot tell how the run goes on";
                    let error = ApiError::unavailable(reason::NO_LEADER, text);
                    return self.sender.send(Err(error.into())).await.map_err(|_| Gone);
                }
                () = self.sender.closed() => return Err(Gone),
            }
        }
    }

    /// What was printed before the end comes before it.
    async fn end(&mut self, shown: &mut Option<v1::Run>) -> Result<(), Gone> {
        let is_all = self.lines.all_is_here().await;
        let rest = self.lines.waiting();
        self.tell(rest).await?;
        if !is_all {
            let text = "the run's owner cannot be asked: what was printed last may be missing".to_owned();
            let seq = *self.applied.borrow();
            self.send(seq, None, Event::Warning(text)).await?;
        }
        self.progress(shown).await
    }

    /// Sends the run when it has changed.
    async fn progress(&mut self, shown: &mut Option<v1::Run>) -> Result<(), Gone> {
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
            return Ok(());
        }
        *shown = Some(run.clone());
        let event = if ended { Event::Ended(run) } else { Event::Progress(run) };
        self.send(seq, None, event).await
    }

    async fn tell(&mut self, told: Vec<(LineCursor, Told)>) -> Result<(), Gone> {
        for (at, told) in told {
            let seq = *self.applied.borrow();
            self.send(seq, Some(at), shown(told)).await?;
        }
        Ok(())
    }

    async fn send(&mut self, seq: u64, line: Option<LineCursor>, event: Event) -> Result<(), Gone> {
        let line = line.map(|LineCursor { epoch, number }| v1::LineCursor { epoch, number });
        self.sender.send(Ok(RunEvent { seq, event: Some(event), line })).await.map_err(|_| Gone)
    }
}

fn shown(told: Told) -> Event {
    match told {
        Told::Event(BoardEvent::Output { worker, text, dropped_bytes }) => {
            Event::Output(Output { worker, text, dropped_bytes })
        }
        Told::Event(BoardEvent::Warning(text)) => Event::Warning(text),
        Told::LeftOut(lines) => Event::Warning(format!(
            "{lines} lines of output were left out: only the latest are kept for who comes late"
        )),
        Told::NextOwner => Event::Warning(
            "another owner goes on with the run; what was printed before it and is not shown is lost".to_owned(),
        ),
    }
}

fn is_running(node: &Node, run: RunId) -> bool {
    node.consensus
        .read_stale(|state| state.run(run).is_some_and(|held| held.progress.status == dspex_model::RunStatus::Running))
}

/// Completes as soon as the run is not running, so that its end is not kept waiting for the pace.
async fn ended_soon(applied: &mut watch::Receiver<u64>, node: &Node, run: RunId) -> Result<(), Gone> {
    let mut applied = applied.clone();
    while is_running(node, run) {
        applied.changed().await.map_err(|_| Gone)?;
    }
    Ok(())
}

/// Completes when no leader has answered this node for a while: what it has applied may be old by then, and a run that executes
/// elsewhere does not hear from here that somebody follows it.
async fn cut_off(consensus: Consensus) {
    // An embedded node leads itself; one without a vote asks the voters as it goes.
    if !consensus.has_peers() || consensus.is_worker() {
        return std::future::pending().await;
    }
    let mut applied = consensus.watch();
    loop {
        applied.mark_unchanged();
        sleep(LOOK_EVERY).await;
        let is_led = applied.has_changed().unwrap_or(false)
            || is_answer(timeout(LEADERLESS_MAX, consensus.read_at(Freshness::Lease, |_| ())).await.ok().as_ref());
        if !is_led {
            return;
        }
    }
}

/// Whether the outcome of a question to the leader says that there is one; `None`: it has taken too long.
fn is_answer(asked: Option<&Result<(), ReadError>>) -> bool {
    // A node with too much to do has not asked; one that stops ends the watch as it does all.
    matches!(asked, Some(Ok(()) | Err(ReadError::Busy | ReadError::Stopped { .. })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watcher_is_told_how_many_lines_it_misses_and_of_another_owner() {
        let text = |told| match shown(told) {
            Event::Warning(text) => text,
            other => panic!("{other:?}"),
        };
        assert!(text(Told::LeftOut(3)).starts_with("3 lines of output were left out"));
        assert!(text(Told::NextOwner).contains("another owner"));
        assert_eq!(text(Told::Event(BoardEvent::Warning("w".to_owned()))), "w");
    }

    #[test]
    fn a_watch_goes_on_while_a_leader_answers_and_where_the_node_has_not_asked_one() {
        assert!(is_answer(Some(&Ok(()))) && is_answer(Some(&Err(ReadError::Busy))));
        assert!(!is_answer(None) && !is_answer(Some(&Err(ReadError::NoLeader))));
    }
}
