//! Where the search has been: nothing new comes of going there again, nor of going there with fewer writes left to use.

use std::collections::HashMap;

/// Points by what has its place and how the session stands; for each the sets of optional writes that were used on the way, none
/// of which holds another.
#[derive(Default)]
pub(super) struct Known {
    points: HashMap<Box<[u64]>, Vec<Box<[u64]>>>,
    compared: u64,
}

impl Known {
    /// Whether something new may come of this point; it is known from then on.
    pub(super) fn is_new(&mut self, point: Box<[u64]>, used: &[u64]) -> bool {
        let ways = self.points.entry(point).or_default();
        self.compared += ways.len() as u64;
        if ways.iter().any(|way| is_within(way, used)) {
            return false;
        }
        ways.retain(|way| !is_within(used, way));
        ways.push(used.into());
        true
    }

    /// Ways that were compared: work that the number of points does not show.
    pub(super) fn compared(&self) -> u64 {
        self.compared
    }
}

fn is_within(part: &[u64], whole: &[u64]) -> bool {
    part.iter().zip(whole).all(|(part, whole)| part & !whole == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_writes_used_lead_nowhere_new() {
        let mut known = Known::default();
        let mut is_new = |point: u64, used: [u64; 2]| known.is_new([point].into(), &used);
        assert!(is_new(1, [0b0110, 0]));
        assert!(!is_new(1, [0b0110, 0]));
        assert!(!is_new(1, [0b1110, 1]));
        assert!(is_new(1, [0b1010, 0]));
        assert!(is_new(1, [0b0010, 0]), "fewer");
        assert!(!is_new(1, [0b1010, 0]));
        assert!(is_new(2, [0b0110, 0]), "elsewhere");
    }
}
