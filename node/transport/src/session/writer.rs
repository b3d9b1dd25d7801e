//! Writes frames, as many at once as there are, and fills silence.

use std::time::Duration;

use tokio::io::{AsyncWriteExt, BufWriter, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::Queued;
use crate::frame::Frame;
use crate::stream::Stream;

const AT_ONCE: usize = 128;
const BUFFER: usize = 64 * 1024;

/// Until the connection ends; the reason.
pub(super) async fn run(stream: WriteHalf<Stream>, mut queue: mpsc::Receiver<Queued>, heartbeat: Duration) -> String {
    let mut stream = BufWriter::with_capacity(BUFFER, stream);
    let ping = Frame::Ping.encode();
    let mut frames = Vec::with_capacity(AT_ONCE);
    loop {
        let written = match timeout(heartbeat, queue.recv_many(&mut frames, AT_ONCE)).await {
            Ok(0) => return "closed here".to_owned(),
            Ok(_) => write(&mut stream, &mut frames).await,
            Err(_) => stream.write_all(&ping).await,
        };
        let flushed = match written {
            Ok(()) => stream.flush().await,
            Err(error) => Err(error),
        };
        if let Err(error) = flushed {
            return error.to_string();
        }
    }
}

async fn write(stream: &mut BufWriter<WriteHalf<Stream>>, frames: &mut Vec<Queued>) -> std::io::Result<()> {
    for frame in frames.drain(..) {
        stream.write_all(&frame.bytes).await?;
    }
    Ok(())
}
