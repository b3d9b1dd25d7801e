//! Effects on their way from applying to whoever performs them.
//!
//! They are hints. A receiver that falls behind loses some and is told so; `State::pending` gives it the whole set.

use std::sync::Arc;

use dspex_model::Effect;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// The effects of one entry.
#[derive(Debug)]
pub(crate) struct EffectBatch {
    pub(crate) index: u64,
    pub(crate) effects: Vec<Effect>,
}

/// What a receiver gets.
#[derive(Debug, Clone, PartialEq)]
pub enum EffectEvent {
    /// The entry at `index` was applied, with these effects.
    Effects {
        /// The entry's index.
        index: u64,
        /// What it asks for.
        effects: Vec<Effect>,
    },
    /// Effects were lost: derive them again from `State::pending`.
    Missed,
}

/// Follows the effects from the moment it was made. What was pending before is in `State::pending`.
#[derive(Debug)]
pub struct Effects {
    receiver: broadcast::Receiver<Arc<EffectBatch>>,
}

impl Effects {
    pub(crate) fn new(receiver: broadcast::Receiver<Arc<EffectBatch>>) -> Self {
        Self { receiver }
    }

    /// The next event; `None` once the node has stopped.
    pub async fn next(&mut self) -> Option<EffectEvent> {
        match self.receiver.recv().await {
            Ok(batch) => {
                let (index, effects) = (batch.index, batch.effects.clone());
                Some(EffectEvent::Effects { index, effects })
            }
            Err(RecvError::Lagged(_)) => Some(EffectEvent::Missed),
            Err(RecvError::Closed) => None,
        }
    }
}
