//! Reads that share rounds: one question to the quorum, or to the leader, for all reads that wait when it is asked.

use std::future::Future;

use tokio::sync::{mpsc, oneshot};

use crate::refusal::Refusal;

/// Reads that may wait for the next round; `Consensus` lets no more come than this.
const WAITING: usize = 4096;

type Answer = Result<u64, Refusal>;

/// A handle to the one who asks; clones share it. It ends with the last of them.
#[derive(Debug, Clone)]
pub(crate) struct Rounds {
    waiting: mpsc::Sender<oneshot::Sender<Answer>>,
}

impl Rounds {
    /// `ask` gives an index that is not before anything acknowledged before it was called.
    pub(crate) fn start<F, Asked>(ask: F) -> Self
    where
        F: Fn() -> Asked + Send + Sync + 'static,
        Asked: Future<Output = Answer> + Send + 'static,
    {
        let (waiting, receiver) = mpsc::channel(WAITING);
        tokio::spawn(run(ask, receiver));
        Self { waiting }
    }

    /// Waits for the next round, never for one that is under way: that may have been asked too early.
    pub(crate) async fn join(&self) -> Answer {
        let (sender, answer) = oneshot::channel();
        if self.waiting.send(sender).await.is_err() {
            return Err(Refusal::NoLeader);
        }
        answer.await.unwrap_or(Err(Refusal::NoLeader))
    }
}

async fn run<F, Asked>(ask: F, mut receiver: mpsc::Receiver<oneshot::Sender<Answer>>)
where
    F: Fn() -> Asked + Send + Sync,
    Asked: Future<Output = Answer> + Send,
{
    let mut readers = Vec::new();
    while receiver.recv_many(&mut readers, WAITING).await > 0 {
        let answer = ask().await;
        for reader in readers.drain(..) {
            // A reader whose time was over is gone.
            let _ = reader.send(answer.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    /// Rounds that end one by one, when the test says so; each answers with its number.
    fn counted() -> (Rounds, Arc<AtomicU64>, Arc<Semaphore>) {
        let (asked, released) = (Arc::new(AtomicU64::new(0)), Arc::new(Semaphore::new(0)));
        let (counter, gate) = (Arc::clone(&asked), Arc::clone(&released));
        let rounds = Rounds::start(move || {
            let number = counter.fetch_add(1, Ordering::SeqCst) + 1;
            let gate = Arc::clone(&gate);
            async move {
                if let Ok(permit) = gate.acquire().await {
                    permit.forget();
                }
                Ok(number)
            }
        });
        (rounds, asked, released)
    }

    #[tokio::test]
    async fn readers_share_a_round_and_none_joins_one_that_was_asked_before_it() {
        let (rounds, asked, released) = counted();
        let first = tokio::spawn({
            let rounds = rounds.clone();
            async move { rounds.join().await }
        });
        while asked.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let late: Vec<_> = (0..50)
            .map(|_| {
                let rounds = rounds.clone();
                tokio::spawn(async move { rounds.join().await })
            })
            .collect();
        // All of them are in the queue before the first round ends.
        while rounds.waiting.capacity() > WAITING - 50 {
            tokio::task::yield_now().await;
        }
        released.add_permits(2);
        assert_eq!(first.await.expect("read"), Ok(1));
        for reader in late {
            assert_eq!(reader.await.expect("read"), Ok(2));
        }
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }
}
