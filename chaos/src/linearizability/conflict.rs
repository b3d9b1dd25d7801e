//! The few answers that already contradict each other, out of a history that no order explains.
//!
//! Putting an answer out of mind only makes a puzzle easier. So answers are dropped, many at once at first, as long as
//! the rest is still a contradiction.

use super::puzzle::Puzzle;
use super::search::{Verdict, search};
use crate::Operation;

/// States that one attempt may look at: an attempt that takes longer keeps its answers.
const ATTEMPT_STEPS: u64 = 20_000;

/// Attempts in all, so that a long history with many contradictions is not turned over for ever.
const ATTEMPTS: usize = 2_000;

/// Places of the answers, ascending. `operations` contradict each other, in the order of their invocations.
pub(super) fn conflict(operations: &[&Operation], steps_max: u64) -> Vec<usize> {
    let mut shrinking = Shrinking { operations, attempts: 0, steps_max: steps_max.min(ATTEMPT_STEPS) };
    let mut held: Vec<usize> = (0..operations.len()).collect();
    held.sort_by_key(|&place| operations[place].completed_ns);
    let mut kept = shrinking.shortest_beginning(held);
    // The last answer made it a contradiction. What came long before it is the likeliest to be beside the point.
    let mut size = kept.len().div_ceil(2);
    while size > 0 {
        let mut from = 0;
        while from < kept.len() {
            let to = (from + size).min(kept.len());
            let rest: Vec<usize> = kept[..from].iter().chain(&kept[to..]).copied().collect();
            if shrinking.still_contradicts(&rest) {
                kept = rest;
            } else {
                from = to;
            }
        }
        size /= 2;
    }
    kept.sort_unstable();
    kept
}

struct Shrinking<'a> {
    operations: &'a [&'a Operation],
    attempts: usize,
    steps_max: u64,
}

impl Shrinking<'_> {
    /// The shortest beginning of them that contradicts itself.
    fn shortest_beginning(&mut self, mut held: Vec<usize>) -> Vec<usize> {
        let (mut explained, mut contradicts) = (0, held.len());
        while explained + 1 < contradicts {
            let middle = usize::midpoint(explained, contradicts);
            if self.still_contradicts(&held[..middle]) {
                contradicts = middle;
            } else {
                explained = middle;
            }
        }
        held.truncate(contradicts);
        held
    }

    fn still_contradicts(&mut self, held: &[usize]) -> bool {
        if self.attempts == ATTEMPTS {
            return false;
        }
        self.attempts += 1;
        let mut is_held = vec![false; self.operations.len()];
        held.iter().for_each(|&place| is_held[place] = true);
        let puzzle = Puzzle::new(self.operations, |place| is_held[place]);
        search(&puzzle, self.steps_max).0 == Verdict::Contradiction
    }
}
