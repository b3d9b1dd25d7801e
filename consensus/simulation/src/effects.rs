//! What applying an entry asks for. Here blobs are freed, and nothing else is done: there are no actors.

use dspex_model::Effect;

/// The effects of one entry.
#[derive(Debug)]
pub(crate) struct EffectBatch {
    #[expect(dead_code, reason = "consensus/src/machine/batch.rs fills it for those who perform effects")]
    pub(crate) index: u64,
    pub(crate) effects: Vec<Effect>,
}
