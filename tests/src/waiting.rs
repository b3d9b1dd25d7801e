//! Waiting for something to be so, instead of for time to pass.

use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(5);

/// Asks again and again until there is an answer.
///
/// # Panics
/// When there is none within the limit; `what` says what was waited for.
#[track_caller]
pub fn wait_until<T>(what: &str, limit: Duration, ask: impl FnMut() -> Option<T>) -> T {
    match ask_until(limit, ask) {
        Some(answer) => answer,
        None => panic!("waited {} s in vain until {what}", limit.as_secs_f64()),
    }
}

/// Whether something becomes so within the limit.
pub fn holds_within(limit: Duration, mut ask: impl FnMut() -> bool) -> bool {
    ask_until(limit, || ask().then_some(())).is_some()
}

fn ask_until<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        // Once more after the end: the machine may have slept on this very thread.
        let late = Instant::now() >= end;
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if late {
            return None;
        }
        std::thread::sleep(POLL);
    }
}
