//! Questions to a run's driver, wherever the run's owner is: for the stream on which the driver answers them.

use std::sync::Arc;

use dspex_model::{LineCursor, NodeId, RunId};
use tokio::time::sleep;

use super::owner::{self, Pause};
use crate::board::Question;
use crate::context::NodeContext;

/// A driver that is asked. One that comes later takes its place.
#[derive(Debug)]
pub struct Asking {
    context: Arc<NodeContext>,
    run: RunId,
    /// As the first owner that heard of it has numbered it.
    driver: Option<u128>,
    at: LineCursor,
}

impl Asking {
    pub(crate) fn new(context: Arc<NodeContext>, run: RunId) -> Self {
        Self { context, run, driver: None, at: LineCursor::default() }
    }

    /// Questions without an answer that this driver has not heard; `None`: the run has ended, or another driver is asked now.
    pub async fn next(&mut self) -> Option<Vec<Question>> {
        let mut pause = Pause::default();
        loop {
            let owner = self.owner()?;
            let Some(driver) = self.driver else {
                self.driver = owner::welcome(&self.context, self.run, owner).await;
                if self.driver.is_none() {
                    sleep(pause.next()).await;
                }
                continue;
            };
            match owner::questions(&self.context, self.run, owner, driver, self.at).await.ok()? {
                Some((at, questions)) => {
                    self.at = at;
                    if !questions.is_empty() {
                        return Some(questions);
                    }
                    pause = Pause::default();
                }
                // The log names the next owner before long.
                None => sleep(pause.next()).await,
            }
        }
    }

    /// `None`: it is not executed any more.
    fn owner(&self) -> Option<NodeId> {
        self.context.parts.consensus.read_stale(|state| {
            let progress = &state.run(self.run)?.progress;
            progress.status.is_under_way().then_some(progress.owner)
        })
    }
}
