//! What a driver answers its run's workers: taken from the program at any time, also while there is no node to bring it to.

use std::collections::{HashMap, HashSet, VecDeque};

use bytes::Bytes;
use dspex_api::v1::DriverAnswer;
use serde::Deserialize;
use tokio::sync::mpsc;

use super::frames::read;
use super::messages::{Failure, Part};
use crate::error::CommandError;

/// A question: its worker, and its number there.
type Question = (String, u64);

/// The program's answers, all in all no more than it has been asked for.
pub(super) struct Answers {
    parts: mpsc::Receiver<Part>,
    /// Questions that the program has and has not answered. Another node asks them again.
    open: HashSet<Question>,
    /// For the node in use.
    given: VecDeque<DriverAnswer>,
    /// What a lost node was not sent any more: for when the next one asks that again.
    kept: HashMap<Question, DriverAnswer>,
    is_over: bool,
}

impl Answers {
    pub(super) fn new(parts: mpsc::Receiver<Part>) -> Self {
        let (open, given, kept) = (HashSet::new(), VecDeque::new(), HashMap::new());
        Self { parts, open, given, kept, is_over: false }
    }

    /// Whether the program is to be asked: it may have the question already, or have answered it.
    pub(super) fn is_new(&mut self, worker: &str, id: u64) -> bool {
        let question = (worker.to_owned(), id);
        match self.kept.remove(&question) {
            Some(answer) => {
                self.given.push_back(answer);
                false
            }
            None => self.open.insert(question),
        }
    }

    /// Takes the next answer; `false`: the program has no more. It may be dropped and called again.
    pub(super) async fn take(&mut self) -> Result<bool, Failure> {
        if self.is_over {
            return Ok(false);
        }
        let Some(Part { data, end, .. }) = self.parts.recv().await else {
            self.is_over = true;
            return Ok(false);
        };
        self.is_over = end;
        if !data.is_empty() {
            let GivenAnswer { worker, id, body, error } = read(&data).map_err(CommandError::usage)?;
            if self.open.remove(&(worker.clone(), id)) {
                self.given.push_back(DriverAnswer { run_id: String::new(), worker, id, body, error });
            }
        }
        Ok(!end)
    }

    /// Waits for something else, and takes answers meanwhile: nobody reads the program's other requests while these wait for a
    /// place. `None`: the program has no more.
    pub(super) async fn meanwhile<T>(&mut self, other: impl Future<Output = T>) -> Result<Option<T>, Failure> {
        tokio::pin!(other);
        loop {
            tokio::select! {
                value = &mut other => return Ok(Some(value)),
                goes_on = self.take() => if !goes_on? { return Ok(None) },
            }
        }
    }

    pub(super) fn has_given(&self) -> bool {
        !self.given.is_empty()
    }

    /// The next one for the node in use.
    pub(super) fn next(&mut self) -> Option<DriverAnswer> {
        self.given.pop_front()
    }

    /// The node in use is lost.
    pub(super) fn keep(&mut self) {
        let given = self.given.drain(..).map(|answer| ((answer.worker.clone(), answer.id), answer));
        self.kept.extend(given);
    }
}

#[derive(Debug, Deserialize)]
struct GivenAnswer {
    worker: String,
    id: u64,
    body: Option<Bytes>,
    error: Option<String>,
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::super::PARTS;
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn part(id: u64) -> Part {
        let answer = serde_json::json!({"worker": "w", "id": id, "body": null, "error": "none"});
        Part { id: 1, data: rmp_serde::to_vec_named(&answer).expect("an answer").into(), end: false }
    }

    /// Answers of a program that has been asked so many questions.
    fn asked(questions: u64) -> (mpsc::Sender<Part>, Answers) {
        let (sender, parts) = mpsc::channel(PARTS);
        let mut answers = Answers::new(parts);
        assert!((0..questions).all(|id| answers.is_new("w", id)));
        (sender, answers)
    }

    #[tokio::test]
    async fn answers_are_taken_while_a_node_is_looked_for() {
        let questions = 4 * PARTS as u64;
        let (sender, mut answers) = asked(questions);
        let speaking = async {
            for id in 0..questions {
                sender.send(part(id)).await.expect("somebody reads");
            }
        };
        let searching = async { timeout(LIMIT, answers.meanwhile(pending::<()>())).await };
        tokio::select! {
            _ = searching => panic!("nothing is found"),
            told = timeout(LIMIT, speaking) => told.expect("every answer is taken"),
        }
    }

    #[tokio::test]
    async fn what_was_answered_while_there_was_no_node_is_not_asked_again() {
        let (sender, mut answers) = asked(2);
        sender.send(part(0)).await.expect("there is room");
        assert!(matches!(answers.take().await, Ok(true)));
        answers.keep();
        assert!(!answers.has_given(), "the next node may have nobody who waits for it");
        assert!(!answers.is_new("w", 0) && !answers.is_new("w", 1), "one is answered, and one is with the program");
        assert_eq!(answers.next().map(|answer| answer.id), Some(0));
        assert!(answers.next().is_none() && answers.is_new("w", 2));
    }

    #[tokio::test]
    async fn what_nobody_has_asked_is_not_kept() {
        let (sender, mut answers) = asked(1);
        for id in [0, 0, 7] {
            sender.send(part(id)).await.expect("there is room");
            assert!(matches!(answers.take().await, Ok(true)));
        }
        assert!(answers.next().is_some() && answers.next().is_none());
    }

    #[tokio::test]
    async fn a_program_that_has_no_more_to_say_does_not_wait_for_a_node() {
        let (sender, mut answers) = asked(1);
        drop(sender);
        let ended = timeout(LIMIT, answers.meanwhile(pending::<()>())).await.expect("at once");
        assert!(matches!(ended, Ok(None)));
    }
}
