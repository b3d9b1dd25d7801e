//! How long to wait before a dead worker is replaced: a program that kills every worker must not turn into a fork bomb.

/// Deaths in a row without a result in between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Backoff {
    deaths: u32,
}

impl Backoff {
    const FIRST_MS: u64 = 100;
    const MOST_MS: u64 = 5_000;

    /// A worker died; the wait before the next one starts. The first replacement is immediate.
    pub(crate) fn death(&mut self) -> u64 {
        let wait_ms = match self.deaths {
            0 => 0,
            deaths => (Self::FIRST_MS << (deaths - 1).min(10)).min(Self::MOST_MS),
        };
        self.deaths += 1;
        wait_ms
    }

    /// A worker delivered.
    pub(crate) fn success(&mut self) {
        self.deaths = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deaths_in_a_row_wait_longer_and_a_result_resets_them() {
        let mut backoff = Backoff::default();
        let waits: Vec<u64> = (0..9).map(|_| backoff.death()).collect();
        assert_eq!(waits, [0, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        backoff.success();
        assert_eq!(backoff.death(), 0);
    }
}
