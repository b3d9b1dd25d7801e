//! Chance that can be had again: a failed test prints its seed, `DSPEX_TEST_SEED` repeats it.

use std::time::{SystemTime, UNIX_EPOCH};

/// A generator (SplitMix64).
#[derive(Debug)]
pub struct Seed(u64);

impl Seed {
    /// The seed of `DSPEX_TEST_SEED`, else a new one; said on stderr, which is shown when a test fails.
    pub fn new() -> Self {
        let given = std::env::var("DSPEX_TEST_SEED").ok().and_then(|text| text.parse().ok());
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |time| time.as_nanos() as u64);
        let seed = given.unwrap_or_else(now);
        eprintln!("DSPEX_TEST_SEED={seed}");
        Self(seed)
    }

    /// A number below `end`.
    ///
    /// # Panics
    /// When `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

impl Default for Seed {
    fn default() -> Self {
        Self::new()
    }
}
