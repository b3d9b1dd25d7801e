//! A run that is not detached goes on while the program that submitted it watches it, through whichever node it does.

use std::sync::Arc;
use std::time::Duration;

use dspex_model::{PeerMessage, RunId};
use tokio::task::AbortHandle;

use crate::context::NodeContext;

/// Well within the time after which a run without its driver is cancelled.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// Stands for the submitting program.
#[derive(Debug)]
pub struct Attendance(AbortHandle);

impl Drop for Attendance {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Tells the run's owner again and again, also when that is another node by then.
pub(crate) fn attend(context: Arc<NodeContext>, run: RunId) -> Attendance {
    let telling = tokio::spawn(async move {
        loop {
            let owner = context.parts.consensus.read_stale(|state| Some(state.run(run)?.progress.owner));
            match owner {
                Some(owner) if owner == context.parts.node => attended(&context, run),
                // One that does not hear it counts on the next word, or is not the owner for long.
                Some(owner) => drop(context.links.tell(owner, &PeerMessage::Attended { run })),
                None => return,
            }
            tokio::time::sleep(TELL_EVERY).await;
        }
    });
    Attendance(telling.abort_handle())
}

/// At the owner.
pub(crate) fn attended(context: &NodeContext, run: RunId) {
    if let Some(board) = context.boards.get(run) {
        board.attended();
    }
}
