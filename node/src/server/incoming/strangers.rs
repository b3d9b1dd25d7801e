//! Strangers: callers of whom no request has been let in yet. They may stay for a moment, say little, and give way to those who come
//! after them.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep};

/// From a caller's first sign to the first request of theirs that is let in, TLS included.
pub(super) const MOMENT: Duration = Duration::from_secs(5);
/// Of a listener. One more takes the place of the oldest, which was the slowest: strangers who say nothing keep nobody out.
pub(super) const STRANGERS_MAX: usize = 128;

/// Whether a request on a connection was let in. Every request of a connection carries it as an extension.
#[derive(Clone, Default)]
pub(crate) struct Standing(Arc<AtomicBool>);

impl Standing {
    /// One was: who is behind the connection may stay.
    pub(crate) fn let_in(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(super) fn is_let_in(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The strangers of a listener, the oldest first. Dropping it shows all of them out.
pub(super) struct Strangers {
    words_max: usize,
    present: VecDeque<Present>,
}

struct Present {
    standing: Standing,
    /// Dropping it takes the stranger's place away.
    place: oneshot::Sender<Infallible>,
}

impl Strangers {
    /// Each may say so many bytes.
    pub(super) fn new(words_max: usize) -> Self {
        Self { words_max, present: VecDeque::new() }
    }

    /// One more has come.
    pub(super) fn receive(&mut self) -> Stranger {
        self.present.retain(|one| !one.place.is_closed() && !one.standing.is_let_in());
        if self.present.len() >= STRANGERS_MAX {
            self.present.pop_front();
        }
        let (standing, (place, kept)) = (Standing::default(), oneshot::channel());
        self.present.push_back(Present { standing: standing.clone(), place });
        Stranger {
            standing,
            moment: Box::pin(sleep(MOMENT)),
            place: kept,
            words: self.words_max,
            is_over: false,
            was_heard_out: false,
        }
    }
}

/// What is left to one of them.
pub(super) struct Stranger {
    standing: Standing,
    moment: Pin<Box<Sleep>>,
    /// Ends when another one takes it.
    place: oneshot::Receiver<Infallible>,
    /// Bytes that it may still say.
    words: usize,
    is_over: bool,
    was_heard_out: bool,
}

impl Stranger {
    /// For the requests of its connection.
    pub(super) fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Returns when it has to leave.
    pub(super) async fn end(&mut self) {
        poll_fn(|context| if self.is_over(context) { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    /// It has said so much more.
    pub(super) fn says(&mut self, count: usize) -> io::Result<()> {
        let left = self.words.checked_sub(count);
        self.words = left.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "too much, and no request yet"))?;
        Ok(())
    }

    /// The connection waits for it.
    pub(super) fn is_waited_for(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if !self.is_over(context) {
            return Ok(());
        }
        if self.was_heard_out {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "no request was let in in time"));
        }
        // The server has just taken what was said by now, and judges it before it looks again: a node that stood still for a while
        // (a busy machine, a stopped process) turns nobody away who had asked in time.
        self.was_heard_out = true;
        context.waker().wake_by_ref();
        Ok(())
    }

    fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        self.is_over = self.is_over
            || self.moment.as_mut().poll(context).is_ready()
            || Pin::new(&mut self.place).poll(context).is_ready();
        self.is_over
    }
}
