//! The owner's end of the real_time channel.

use std::time::Duration;

use bytes::Bytes;
use dspex_model::{BoardQuestion, FollowReply, FollowRequest, LineCursor, RunId};
use dspex_python::protocol::Answer;
use dspex_transport::{Request, Requests, Serve, Session};

use super::owner::{FOLLOW, NEWS_WAIT};
use crate::board::{Board, Question};
use crate::tree::Tree;

/// Serves nodes whose watchers and drivers follow runs that this node owns.
#[derive(Debug)]
pub struct RealTime {
    tree: Tree,
}

impl RealTime {
    pub(crate) fn new(tree: Tree) -> Self {
        Self { tree }
    }
}

impl Serve for RealTime {
    fn serve(&self, session: Session, mut requests: Requests) {
        let tree = self.tree.clone();
        tokio::spawn(async move {
            // The channel bounds how many of a peer are under way, and each ends in a while.
            while let Some(request) = requests.next().await {
                if tree.context().parts.consensus.is_fellow(&session) {
                    tokio::spawn(answer(tree.clone(), request));
                } else {
                    request.fail("this node and the one that asks do not belong to the same cluster").await;
                }
            }
        });
    }
}

async fn answer(tree: Tree, request: Request) {
    let asked = match (request.method, FollowRequest::decode(&request.body)) {
        (FOLLOW, Ok(asked)) => asked,
        (FOLLOW, Err(error)) => return request.fail(error.to_string()).await,
        (other, _) => return request.fail(format!("method {other} is unknown here: start a newer dspex")).await,
    };
    match reply(&tree, asked).await.encode() {
        Ok(bytes) => request.reply(Bytes::from(bytes)).await,
        Err(error) => request.fail(error.to_string()).await,
    }
}

async fn reply(tree: &Tree, asked: FollowRequest) -> FollowReply {
    match asked {
        FollowRequest::Lines { run, after, wait_ms, has_ended } => {
            let Some(board) = tree.board(run) else { return FollowReply::Nothing };
            let wait = if has_ended { board.late_prints() } else { patience(wait_ms) };
            match board.lines(after, wait).await {
                Some(page) => FollowReply::Lines { lines: page.lines, head: page.head },
                None => FollowReply::Nothing,
            }
        }
        FollowRequest::Questions { run, driver, after, wait_ms } => {
            let Some(board) = tree.board(run) else { return FollowReply::Nothing };
            questions(tree, run, &board, driver, after, patience(wait_ms)).await
        }
        FollowRequest::Drive { run } => {
            let driver = tree.board(run).and_then(|board| board.welcome());
            driver.map_or(FollowReply::Nothing, |driver| FollowReply::Driver { driver })
        }
        FollowRequest::Answer { run, worker, id, body, error } => {
            tree.answer_here(run, &worker, Answer { id, body: body.map(Into::into), error });
            FollowReply::Answered
        }
    }
}

/// No peer makes this node wait for longer.
fn patience(wait_ms: u32) -> Duration {
    Duration::from_millis(wait_ms.into()).min(NEWS_WAIT)
}

async fn questions(
    tree: &Tree,
    run: RunId,
    board: &Board,
    driver: u128,
    after: LineCursor,
    wait: Duration,
) -> FollowReply {
    let Ok((epoch, asked)) = board.questions(driver, after, wait).await else { return FollowReply::Replaced };
    if epoch == 0 {
        return FollowReply::Nothing;
    }
    let questions: Vec<BoardQuestion> = asked.into_iter().map(wire).collect();
    let reply = FollowReply::Questions { epoch, questions };
    let Err(error) = reply.encode() else { return reply };
    // Only a single one makes a page too long. Without any answer its worker would wait for ever.
    if let FollowReply::Questions { questions, .. } = &reply {
        for BoardQuestion { worker, id, .. } in questions {
            let why = format!("the question cannot reach the node of the run's driver: {error}");
            tree.answer_here(run, worker, Answer { id: *id, body: None, error: Some(why) });
        }
    }
    FollowReply::Questions { epoch, questions: Vec::new() }
}

fn wire((number, question): (u64, Question)) -> BoardQuestion {
    let Question { worker, id, index, body } = question;
    BoardQuestion { number, worker, id, index, body: body.to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_peer_makes_this_node_wait_for_longer_than_it_does_by_itself() {
        assert_eq!(patience(10), Duration::from_millis(10));
        assert_eq!(patience(u32::MAX), NEWS_WAIT);
    }
}
