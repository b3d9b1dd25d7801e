//! Whether anybody needs this node: calls under way and the time since the last one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

#[derive(Debug)]
struct Inner {
    calls: usize,
    last: Instant,
}

/// Counts calls. Clones count together.
#[derive(Clone, Debug)]
pub(crate) struct Activity {
    inner: Arc<Mutex<Inner>>,
}

impl Activity {
    pub(crate) fn new() -> Self {
        Self { inner: Arc::new(Mutex::new(Inner { calls: 0, last: Instant::now() })) }
    }

    /// A call is under way until the guard is dropped.
    pub(crate) fn enter(&self) -> ActivityGuard {
        self.change(|inner| inner.calls += 1);
        ActivityGuard { activity: self.clone() }
    }

    /// How long nobody has called.
    pub(crate) fn idle(&self) -> Duration {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.calls > 0 { Duration::ZERO } else { inner.last.elapsed() }
    }

    fn change(&self, change: impl FnOnce(&mut Inner)) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut inner);
        inner.last = Instant::now();
    }
}

/// Stands for a call under way.
#[derive(Debug)]
pub(crate) struct ActivityGuard {
    activity: Activity,
}

impl Drop for ActivityGuard {
    fn drop(&mut self) {
        self.activity.change(|inner| inner.calls -= 1);
    }
}
