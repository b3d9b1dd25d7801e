//! Since when something lasts: what is done about it depends on how long that is.

/// By the clock of one evaluation.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Since(Option<u64>);

impl Since {
    /// It lasts, from now on where it did not before; for how long.
    pub(super) fn lasts(&mut self, now_us: u64) -> u64 {
        now_us.saturating_sub(*self.0.get_or_insert(now_us))
    }

    /// It does not last any more.
    pub(super) fn ends(&mut self) {
        self.0 = None;
    }

    /// For how long it has lasted; `None`: it does not.
    pub(super) fn so_far(self, now_us: u64) -> Option<u64> {
        self.0.map(|since_us| now_us.saturating_sub(since_us))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lasts_is_counted_from_its_beginning_and_anew_after_its_end() {
        let mut since = Since::default();
        assert_eq!(since.so_far(5), None);
        assert_eq!((since.lasts(5), since.lasts(8), since.so_far(9)), (0, 3, Some(4)));
        since.ends();
        assert_eq!(since.so_far(10), None);
        assert_eq!((since.lasts(20), since.so_far(21)), (0, Some(1)));
    }
}
