//! Prints of workers for a run that another node owns, on their way to the owner: over the telemetry channel, on which they wait
//! for nothing and nothing waits for them. What is lost is counted by the owner, and said.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use dspex_model::{NodeId, PrintedLine, RunId, TelemetryMessage};
use dspex_transport::{Channel, Message, Requests, Serve, Session};
use tokio::sync::mpsc;
use tracing::debug;

use crate::context::NodeContext;
use crate::metering;

/// The method of the telemetry channel. Its number is on the wire.
const TELL: u8 = 1;
/// Lines that wait for a connection, of 8 KiB at the most: as many as a worker's own queue holds.
const QUEUE: usize = 1024;
/// What has gathered goes as one message, up to this; a frame of the channel holds a line more.
const MESSAGE_BYTES: usize = 256 << 10;
/// For a connection that is coming about.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);

/// The way of the prints of one run's workers here. When this node's part of the run has stopped and the last of those who print is
/// gone, the owner is told how much it was: at once where the node hears of the run's end, else after a minute.
#[derive(Debug)]
pub(crate) struct Outlet {
    lines: mpsc::Sender<PrintedLine>,
    printed: Arc<Mutex<u64>>,
}

/// Whose prints they are, and whose they become.
#[derive(Clone, Copy, Debug)]
struct Way {
    owner: NodeId,
    run: RunId,
    epoch: u64,
}

impl Outlet {
    pub(crate) fn open(context: Arc<NodeContext>, owner: NodeId, run: RunId, epoch: u64) -> Arc<Self> {
        let (lines, waiting) = mpsc::channel(QUEUE);
        let printed = Arc::new(Mutex::new(0));
        // Dialled now: it is there when the first worker prints.
        let _ = context.parts.consensus.link(owner, Channel::Telemetry);
        tokio::spawn(pass_on(context, Way { owner, run, epoch }, waiting, Arc::clone(&printed)));
        Arc::new(Self { lines, printed })
    }

    /// Never waits: a line without room is lost, and counted by the total of the next.
    pub(crate) fn print(&self, worker: &str, text: String, dropped_bytes: u64) {
        // Held until the line is queued: totals arrive in their order.
        let mut printed = self.printed.lock().unwrap_or_else(PoisonError::into_inner);
        *printed += dropped_bytes + text.len() as u64;
        let line = PrintedLine { worker: worker.to_owned(), text, dropped_bytes, total_bytes: *printed };
        let _ = self.lines.try_send(line);
    }
}

async fn pass_on(
    context: Arc<NodeContext>,
    way: Way,
    mut waiting: mpsc::Receiver<PrintedLine>,
    printed: Arc<Mutex<u64>>,
) {
    let Way { owner, run, epoch } = way;
    while let Some(first) = waiting.recv().await {
        let lines = gathered(first, &mut waiting);
        send(&context, owner, &TelemetryMessage::Printed { run, epoch, lines }).await;
    }
    let total_bytes = *printed.lock().unwrap_or_else(PoisonError::into_inner);
    if total_bytes > 0 {
        send(&context, owner, &TelemetryMessage::PrintsEnded { run, epoch, total_bytes }).await;
    }
}

/// A line and those that wait behind it, as many as one message carries.
fn gathered(first: PrintedLine, waiting: &mut mpsc::Receiver<PrintedLine>) -> Vec<PrintedLine> {
    let size = |line: &PrintedLine| line.worker.len() + line.text.len();
    let mut bytes = size(&first);
    let mut lines = vec![first];
    while bytes < MESSAGE_BYTES
        && let Ok(next) = waiting.try_recv()
    {
        bytes += size(&next);
        lines.push(next);
    }
    lines
}

/// What does not go is lost.
async fn send(context: &NodeContext, owner: NodeId, message: &TelemetryMessage) {
    let Some(link) = context.parts.consensus.link(owner, Channel::Telemetry) else { return };
    let sent = async {
        let bytes = message.encode().map_err(|error| error.to_string())?;
        let session = link.session(CONNECT_LIMIT).await.map_err(|error| error.to_string())?;
        session.send(TELL, Bytes::from(bytes)).await.map_err(|error| error.to_string())
    };
    if let Err(error) = sent.await {
        debug!(%owner, error, "what a worker printed does not reach its run's owner");
    }
}

/// The owner's end of the telemetry channel.
#[derive(Debug)]
pub struct TelemetryInlet {
    context: Arc<NodeContext>,
}

impl TelemetryInlet {
    pub(crate) fn new(context: Arc<NodeContext>) -> Self {
        Self { context }
    }
}

impl Serve for TelemetryInlet {
    fn serve(&self, session: Session, mut requests: Requests) {
        let context = Arc::clone(&self.context);
        tokio::spawn(async move {
            while let Some(message) = requests.next_message().await {
                if context.parts.consensus.is_fellow(&session) {
                    hear(&context, NodeId(session.peer().node), &message);
                }
            }
        });
    }
}

fn hear(context: &NodeContext, from: NodeId, message: &Message) {
    let heard = match (message.method, TelemetryMessage::decode(&message.body)) {
        (TELL, Ok(heard)) => heard,
        (method, heard) => {
            let error = heard.err().map(|error| error.to_string()).unwrap_or_default();
            return debug!(%from, method, error, "what a peer tells is passed over");
        }
    };
    let lost = match heard {
        TelemetryMessage::Printed { run, epoch, lines } => context.boards.get(run).map(|board| {
            lines.into_iter().fold(0, |lost: u64, line| lost.saturating_add(board.arrived(from, epoch, line)))
        }),
        TelemetryMessage::PrintsEnded { run, epoch, total_bytes } => {
            context.boards.get(run).map(|board| board.all_arrived(from, epoch, total_bytes))
        }
    };
    metering::prints_lost(lost.unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outlet(queue: usize) -> (Outlet, mpsc::Receiver<PrintedLine>) {
        let (lines, waiting) = mpsc::channel(queue);
        (Outlet { lines, printed: Arc::default() }, waiting)
    }

    #[test]
    fn a_line_without_room_is_lost_and_the_total_of_the_next_says_so() {
        let (outlet, mut waiting) = outlet(1);
        outlet.print("w", "first".to_owned(), 0);
        outlet.print("w", "lost".to_owned(), 0);
        assert_eq!(waiting.try_recv().map(|line| line.total_bytes), Ok(5));
        outlet.print("w", "third".to_owned(), 7);
        assert_eq!(waiting.try_recv().map(|line| (line.total_bytes, line.dropped_bytes)), Ok((5 + 4 + 5 + 7, 7)));
    }

    #[test]
    fn what_has_gathered_goes_together_as_far_as_one_message_carries_it() {
        let (outlet, mut waiting) = outlet(100);
        (0..50).for_each(|_| outlet.print("w", "x".repeat(8 << 10), 0));
        let first = waiting.try_recv().expect("a line");
        let together = gathered(first, &mut waiting).len();
        assert_eq!(together, MESSAGE_BYTES / (8 << 10));
        let next = waiting.try_recv().expect("a line");
        assert_eq!(gathered(next, &mut waiting).len(), 50 - together);
    }
}
