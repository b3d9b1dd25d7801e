//! Lists come page by page.

/// A page has this many unless another number is asked for, and never more than the second.
const PAGE: usize = 100;
const PAGE_MAX: usize = 1000;

/// How many items a page has; 0: nobody said.
pub(super) fn limit(wanted: u32) -> usize {
    match wanted {
        0 => PAGE,
        wanted => (wanted as usize).min(PAGE_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_bounded_whatever_is_asked_for() {
        assert_eq!((limit(0), limit(7), limit(1001), limit(u32::MAX)), (100, 7, 1000, 1000));
    }
}
