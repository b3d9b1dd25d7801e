//! What is asked of a run's owner: here directly, at another node over the real_time channel.

use std::time::Duration;

use bytes::Bytes;
use dspex_consensus::Consensus;
use dspex_model::{FollowReply, FollowRequest, LineCursor, NodeId, RunId};
use dspex_python::protocol::Answer;
use dspex_transport::{CallError, Channel};
use tokio::time::sleep;
use tracing::debug;

use super::ring::Page;
use crate::board::{Question, Replaced};
use crate::context::NodeContext;
use crate::tree::Tree;

/// The method of the real_time channel. Its number is on the wire.
pub(super) const FOLLOW: u8 = 1;
/// How long an owner waits for something new before it says that there is nothing: whoever asked and left takes a place of the
/// channel for so long.
pub(super) const NEWS_WAIT: Duration = Duration::from_secs(2);
/// For a reply beyond what it may wait there.
const REPLY_LIMIT: Duration = Duration::from_secs(5);

/// Between attempts at an owner that is not there.
#[derive(Debug, Default)]
pub(super) struct Pause(u32);

impl Pause {
    pub(super) fn next(&mut self) -> Duration {
        let wait = Duration::from_millis(50 << self.0);
        self.0 = (self.0 + 1).min(4);
        wait
    }
}

/// Lines behind a place, as soon as there are some. `None`: the owner has no board of the run, or cannot be asked.
pub(super) async fn lines(context: &NodeContext, run: RunId, owner: NodeId, after: LineCursor) -> Option<Page> {
    if owner == context.parts.node {
        return context.boards.get(run)?.lines(after, NEWS_WAIT).await;
    }
    let request = FollowRequest::Lines { run, after, wait_ms: millis(NEWS_WAIT), has_ended: false };
    page(call(&context.parts.consensus, owner, &request, NEWS_WAIT).await)
}

/// The same of a run that has ended: the owner waits only for what may be on its way. `None`: it cannot be asked; an empty page: there
/// is nothing more.
pub(super) async fn last_lines(context: &NodeContext, run: RunId, owner: NodeId, after: LineCursor) -> Option<Page> {
    let nothing = Page { lines: Vec::new(), head: after };
    if owner == context.parts.node {
        let Some(board) = context.boards.get(run) else { return Some(nothing) };
        return Some(board.lines(after, board.late_prints()).await.unwrap_or(nothing));
    }
    let request = FollowRequest::Lines { run, after, wait_ms: millis(NEWS_WAIT), has_ended: true };
    let reply = call(&context.parts.consensus, owner, &request, NEWS_WAIT).await?;
    Some(page(Some(reply)).unwrap_or(nothing))
}

fn page(reply: Option<FollowReply>) -> Option<Page> {
    match reply? {
        FollowReply::Lines { lines, head } => Some(Page { lines, head }),
        _ => None,
    }
}

/// A driver comes to the owner: how it is numbered from here on. `None`: the owner does not execute the run yet, or cannot be asked.
pub(super) async fn welcome(context: &NodeContext, run: RunId, owner: NodeId) -> Option<u128> {
    if owner == context.parts.node {
        return context.boards.get(run)?.welcome();
    }
    match call(&context.parts.consensus, owner, &FollowRequest::Drive { run }, Duration::ZERO).await? {
        FollowReply::Driver { driver } => Some(driver),
        _ => None,
    }
}

/// Questions behind a place, and where the driver stands then. `Ok(None)`: the owner cannot be asked.
pub(super) async fn questions(
    context: &NodeContext,
    run: RunId,
    owner: NodeId,
    driver: u128,
    after: LineCursor,
) -> Result<Option<(LineCursor, Vec<Question>)>, Replaced> {
    if owner == context.parts.node {
        let Some(board) = context.boards.get(run) else { return Ok(None) };
        let (epoch, asked) = board.questions(driver, after, NEWS_WAIT).await?;
        let numbers: Vec<u64> = asked.iter().map(|(number, _)| *number).collect();
        let asked = asked.into_iter().map(|(_, question)| question).collect();
        return Ok(Some((stands(after, epoch, numbers.last()), asked)));
    }
    let request = FollowRequest::Questions { run, driver, after, wait_ms: millis(NEWS_WAIT) };
    match call(&context.parts.consensus, owner, &request, NEWS_WAIT).await {
        Some(FollowReply::Replaced) => Err(Replaced),
        Some(FollowReply::Questions { epoch, questions }) => {
            let stands = stands(after, epoch, questions.last().map(|question| &question.number));
            let question = |asked: dspex_model::BoardQuestion| {
                let dspex_model::BoardQuestion { worker, id, index, body, .. } = asked;
                Question { worker, id, index, body: body.into() }
            };
            Ok(Some((stands, questions.into_iter().map(question).collect())))
        }
        _ => Ok(None),
    }
}

/// Where a driver stands that has heard the questions of a page: under another epoch they are counted anew.
fn stands(after: LineCursor, epoch: u64, last: Option<&u64>) -> LineCursor {
    let before = if after.epoch == epoch { after.number } else { 0 };
    LineCursor { epoch, number: last.copied().unwrap_or(before) }
}

/// Brings the driver's answer to the run's owner, whoever that is by then, as long as the run goes on: its worker would wait for ever.
/// When the owner is lost with the question, so is the question: its example runs again.
pub(crate) async fn deliver(tree: &Tree, run: RunId, worker: String, answer: Answer) {
    let (own, consensus) = (tree.node(), tree.context().parts.consensus.clone());
    let owner = || {
        consensus.read_stale(|state| {
            let progress = &state.run(run)?.progress;
            progress.status.is_under_way().then_some(progress.owner)
        })
    };
    let offer = |owner: NodeId, Answer { id, body, error }: &Answer| {
        let (body, error) = (body.as_ref().map(|body| body.to_vec()), error.clone());
        let request = FollowRequest::Answer { run, worker: worker.clone(), id: *id, body, error };
        let consensus = consensus.clone();
        async move { offer(&consensus, owner, &request).await }
    };
    if let Some(answer) = until_heard(own, answer, owner, offer, sleep).await {
        tree.answer_here(run, &worker, answer);
    }
}

/// `Some`: the answer is for this node itself.
async fn until_heard<O: Future<Output = Result<(), Unheard>>, P: Future<Output = ()>>(
    own: NodeId,
    mut answer: Answer,
    owner: impl Fn() -> Option<NodeId>,
    offer: impl Fn(NodeId, &Answer) -> O,
    wait: impl Fn(Duration) -> P,
) -> Option<Answer> {
    let mut pause = Pause::default();
    loop {
        let owner = owner()?;
        if owner == own {
            return Some(answer);
        }
        let offered = offer(owner, &answer).await;
        match offered {
            Ok(()) => return None,
            // Without any answer its worker would wait for ever.
            Err(Unheard::TooLong(why)) => answer = Answer { id: answer.id, body: None, error: Some(why) },
            Err(Unheard::Lost) => wait(pause.next()).await,
        }
    }
}

enum Unheard {
    Lost,
    TooLong(String),
}

async fn offer(consensus: &Consensus, owner: NodeId, request: &FollowRequest) -> Result<(), Unheard> {
    let too_long = |why: String| Unheard::TooLong(format!("the driver's answer cannot reach the run's owner: {why}"));
    let bytes = request.encode().map_err(|error| too_long(error.to_string()))?;
    let link = consensus.link(owner, Channel::RealTime).ok_or(Unheard::Lost)?;
    match link.call(FOLLOW, Bytes::from(bytes), REPLY_LIMIT).await {
        Ok(_) => Ok(()),
        Err(error @ CallError::TooLong { .. }) => Err(too_long(error.to_string())),
        Err(_) => Err(Unheard::Lost),
    }
}

async fn call(consensus: &Consensus, node: NodeId, request: &FollowRequest, wait: Duration) -> Option<FollowReply> {
    let bytes = request.encode().inspect_err(|error| debug!(%error, "a run's owner cannot be asked")).ok()?;
    let link = consensus.link(node, Channel::RealTime)?;
    let reply = link.call(FOLLOW, Bytes::from(bytes), wait + REPLY_LIMIT).await;
    let reply = reply.inspect_err(|error| debug!(%node, %error, "a run's owner does not answer")).ok()?;
    FollowReply::decode(&reply).inspect_err(|error| debug!(%node, %error, "an owner's answer cannot be read")).ok()
}

fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::ready;

    use super::*;

    #[test]
    fn attempts_at_an_owner_that_is_not_there_pause_longer_and_never_too_long() {
        let mut pause = Pause::default();
        let waits: Vec<u128> = (0..7).map(|_| pause.next().as_millis()).collect();
        assert_eq!(waits, [50, 100, 200, 400, 800, 800, 800]);
    }

    fn answer() -> Answer {
        Answer { id: 7, body: Some(Bytes::from_static(b"yes")), error: None }
    }

    const OWN: NodeId = NodeId(1);
    const OTHER: NodeId = NodeId(2);

    #[tokio::test]
    async fn an_answer_is_offered_until_the_owner_hears_it_however_long_it_cannot_be_reached() {
        let (attempts, waited) = (Cell::new(0), Cell::new(Duration::ZERO));
        let offer = |_, answer: &Answer| {
            assert_eq!(answer.body.as_deref(), Some(b"yes".as_slice()));
            attempts.set(attempts.get() + 1);
            ready(if attempts.get() < 1000 { Err(Unheard::Lost) } else { Ok(()) })
        };
        let wait = |time| {
            waited.set(waited.get() + time);
            ready(())
        };
        let left = until_heard(OWN, answer(), || Some(OTHER), offer, wait).await;
        assert!(left.is_none() && attempts.get() == 1000);
        assert!(waited.get() > Duration::from_secs(600), "{:?}", waited.get());
    }

    #[tokio::test]
    async fn an_answer_follows_the_run_to_its_next_owner_and_is_dropped_at_its_end() {
        let owners = |all: &'static [Option<NodeId>]| {
            let next = Cell::new(0);
            move || {
                next.set(next.get() + 1);
                all[next.get() - 1]
            }
        };
        let lost = |_, _: &Answer| ready(Err(Unheard::Lost));
        let wait = |_| ready(());
        let here = until_heard(OWN, answer(), owners(&[Some(OTHER), Some(OTHER), Some(OWN)]), lost, wait).await;
        assert!(here.is_some_and(|answer| answer.id == 7));
        assert!(until_heard(OWN, answer(), owners(&[Some(OTHER), None]), lost, wait).await.is_none());
    }

    #[tokio::test]
    async fn of_an_answer_that_no_frame_carries_the_worker_hears_that() {
        let offer = |_, answer: &Answer| {
            ready(if answer.error.is_some() { Ok(()) } else { Err(Unheard::TooLong("too long".to_owned())) })
        };
        assert!(until_heard(OWN, answer(), || Some(OTHER), offer, |_| ready(())).await.is_none());
    }

    #[test]
    fn a_driver_stands_behind_the_last_question_and_under_another_owner_before_the_first() {
        let at = |epoch, number| LineCursor { epoch, number };
        assert_eq!(stands(at(1, 5), 1, Some(&7)), at(1, 7));
        assert_eq!(stands(at(1, 5), 1, None), at(1, 5));
        assert_eq!(stands(at(1, 5), 2, None), at(2, 0));
        assert_eq!(stands(at(1, 5), 2, Some(&3)), at(2, 3));
    }
}
