//! What a Python process prints: always read, so that printing never blocks it; kept and forwarded within bounds, so that printing
//! gigabytes costs this process no memory.

mod budget;
mod lines;

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, watch};

use budget::ByteBudget;
use lines::Lines;

/// How much of the end of the output is kept.
const TAIL_BYTES: usize = 64 * 1024;
/// Lines waiting for whoever shows them.
const QUEUED_LINES: usize = 1024;

/// A line that was printed, without its end; invalid UTF-8 is replaced. Longer lines come in pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputLine(pub String);

/// The last 64 KiB of an output, and the count of what was not forwarded. Clones show the same output.
#[derive(Debug, Clone, Default)]
pub struct OutputTail {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    tail: Mutex<VecDeque<u8>>,
    dropped: AtomicU64,
}

impl OutputTail {
    /// The end of what was printed so far. A first line that was cut in two is left out.
    pub fn text(&self) -> String {
        let mut tail = self.shared.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let full = tail.len() >= TAIL_BYTES;
        let bytes = &*tail.make_contiguous();
        let start = if full { bytes.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1) } else { 0 };
        String::from_utf8_lossy(&bytes[start..]).into_owned()
    }

    /// How many bytes of lines were not forwarded: over the budget, or nobody took them in time.
    pub fn dropped_bytes(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    fn push(&self, bytes: &[u8]) {
        let mut tail = self.shared.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = &bytes[bytes.len().saturating_sub(TAIL_BYTES)..];
        let excess = (tail.len() + bytes.len()).saturating_sub(TAIL_BYTES);
        tail.drain(..excess);
        tail.extend(bytes);
    }
}

/// The reading side of an output pipe.
#[derive(Debug)]
pub(crate) struct Output {
    /// What is kept.
    pub tail: OutputTail,
    /// Lines within the budget.
    pub lines: mpsc::Receiver<OutputLine>,
    ended: watch::Receiver<bool>,
}

impl Output {
    /// Starts reading; ends when the last holder of the write end is gone.
    pub fn drain(read_end: OwnedFd) -> io::Result<Self> {
        let mut pipe = pipe::Receiver::from_owned_fd(read_end)?;
        let tail = OutputTail::default();
        let (sender, lines) = mpsc::channel(QUEUED_LINES);
        let (end, ended) = watch::channel(false);
        let mut forward = Forward { tail: tail.clone(), budget: ByteBudget::new(Instant::now()), sender };
        tokio::spawn(async move {
            let mut buffer = vec![0; 64 * 1024];
            let mut cutter = Lines::default();
            while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
                forward.tail.push(&buffer[..count]);
                cutter.cut(&buffer[..count], |line| forward.line(line));
                // A pipe that is never empty must not keep this thread from its other tasks.
                tokio::task::yield_now().await;
            }
            cutter.finish(|line| forward.line(line));
            end.send_replace(true);
        });
        Ok(Self { tail, lines, ended })
    }

    /// Completes when everything has been read.
    pub fn end(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut ended = self.ended.clone();
        async move {
            // An error means that the task is gone, which is an end as well.
            let _ = ended.wait_for(|ended| *ended).await;
        }
    }
}

struct Forward {
    tail: OutputTail,
    budget: ByteBudget,
    sender: mpsc::Sender<OutputLine>,
}

impl Forward {
    fn line(&mut self, line: &[u8]) {
        let allowed = self.budget.take(line.len() + 1, Instant::now());
        if !allowed || self.sender.try_send(OutputLine(String::from_utf8_lossy(line).into_owned())).is_err() {
            self.tail.shared.dropped.fetch_add(line.len() as u64 + 1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[tokio::test]
    async fn a_flood_is_read_to_the_end_and_kept_within_bounds() {
        let (read_end, mut write_end) = io::pipe().expect("a pipe");
        let mut output = Output::drain(read_end.into()).expect("drains");
        let flood = tokio::task::spawn_blocking(move || {
            let line = [b"x".repeat(99), b"\n".to_vec()].concat().repeat(1000);
            (0..500).for_each(|_| write_end.write_all(&line).expect("never blocks for long"));
            write_end.write_all(b"the end").expect("written");
        });
        flood.await.expect("written");
        output.end().await;
        assert!(output.tail.text().ends_with("the end"));
        assert!(output.tail.text().len() <= TAIL_BYTES);
        assert!(output.tail.dropped_bytes() > 49_000_000);
        let mut forwarded = 0;
        while let Some(OutputLine(line)) = output.lines.recv().await {
            forwarded += line.len() + 1;
        }
        assert!(forwarded > 1000, "{forwarded}");
    }

    #[test]
    fn the_tail_starts_with_a_whole_line() {
        let tail = OutputTail::default();
        tail.push(b"first\n");
        assert_eq!(tail.text(), "first\n");
        tail.push(&b"0123456789abcde\n".repeat(5000));
        let text = tail.text();
        assert!(text.starts_with("0123456789abcde\n") && text.len() > TAIL_BYTES - 32, "{}", text.len());
    }
}
