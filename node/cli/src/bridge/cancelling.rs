//! A program cancels its run, through another node when its own is lost.

use std::time::Duration;

use dspex_api::Address;
use dspex_api::v1::{CancelRunRequest, Run};
use tokio::time::timeout;

use super::messages::Failure;
use super::requests::Bridge;
use crate::other_nodes::{Loss, loss_in_write};

/// After so long another node is asked: a program that is interrupted does not wait for long.
const PATIENCE: Duration = Duration::from_secs(1);

impl Bridge {
    pub(super) async fn cancel(&self, request: CancelRunRequest) -> Result<Run, Failure> {
        let (client, turn) = self.current()?;
        let cancelling = client.cancel(request.clone());
        let answer = match client.address() {
            Address::Unix(_) => Some(cancelling.await),
            _ => timeout(PATIENCE, cancelling).await.ok(),
        };
        match answer {
            Some(Err(error)) if loss_in_write(&error).is_some() => {}
            Some(answer) => return Ok(answer?),
            None => {}
        }
        // Wherever it goes on, under the same request id: it is executed once.
        self.move_on(turn, &request.run_id, Loss::Leader).await;
        let (client, _) = self.current()?;
        Ok(client.cancel(request).await?)
    }
}
