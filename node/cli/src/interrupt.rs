//! Ctrl-C: once asks, twice leaves at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::error::CommandError;
use crate::exit;

/// Listens for Ctrl-C from its creation on; before, Ctrl-C ends the process as usual.
#[derive(Debug)]
pub struct Interrupts {
    asked: watch::Receiver<bool>,
    leave_at_once: Arc<AtomicBool>,
}

impl Interrupts {
    /// Starts to listen.
    pub fn listen() -> Result<Self, CommandError> {
        let mut signals = signal(SignalKind::interrupt())?;
        let (sender, asked) = watch::channel(false);
        let leave_at_once = Arc::new(AtomicBool::new(false));
        let leave = leave_at_once.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                if *sender.borrow() || leave.load(Ordering::Relaxed) {
                    std::process::exit(i32::from(exit::INTERRUPTED));
                }
                sender.send_replace(true);
            }
        });
        Ok(Self { asked, leave_at_once })
    }

    /// Completes at the first Ctrl-C, also when that was earlier.
    pub async fn asked(&self) {
        let mut asked = self.asked.clone();
        if asked.wait_for(|asked| *asked).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// From now on the first Ctrl-C leaves, too: nothing is left to be kept.
    pub fn leave_at_once(&self) {
        self.leave_at_once.store(true, Ordering::Relaxed);
    }
}
