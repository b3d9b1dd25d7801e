//! Which repeats the loss of a node explains: a pure judgement of what was called for and of what had a result.

use std::collections::BTreeSet;

use super::ledger::{Ledger, Repeat};

/// Examples under way over all nodes together, as `distribution::begin` has it.
pub const THREADS: usize = 6;

/// What was lost, and how far the run was.
#[derive(Clone, Debug)]
pub struct Loss {
    pub what: Lost,
    /// The examples that had a result before it: asked a moment earlier, so rather too few.
    pub recorded: BTreeSet<u32>,
    /// The calls that had begun before it, and by when it was complete.
    pub calls: (usize, usize),
    /// The examples of the run.
    pub examples: usize,
}

/// What a lost node was to the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// It had workers: only what it had in hand runs again.
    Workers(usize),
    /// It owned the run: its heir knows of nothing that was under way, wherever it was.
    Owner,
}

impl Loss {
    /// The repeats for which there is no reason.
    pub fn unexplained(&self, ledger: &Ledger) -> Vec<String> {
        let (mut stragglers, mut wrong) = (0, Vec::new());
        for repeat in ledger.repeats() {
            let Some(why) = self.objection(&repeat) else { continue };
            if self.is_straggler(&repeat) && stragglers < THREADS {
                stragglers += 1;
                continue;
            }
            wrong.push(format!("{repeat:?}: {why}"));
        }
        wrong
    }

    /// Why the loss is no reason for it.
    fn objection(&self, repeat: &Repeat) -> Option<&'static str> {
        let (first, node) = repeat.first;
        if self.recorded.contains(&repeat.example) {
            return Some("it had a result");
        }
        if repeat.place < self.calls.0 {
            return Some("nothing was lost by then");
        }
        if repeat.earlier > 1 {
            return Some("the loss was one, and this is the third call");
        }
        match self.what {
            Lost::Workers(lost) if node != lost => Some("another node had it"),
            // Nobody gives anything out any more: but for what a thread may have been given ahead, nothing begins.
            Lost::Owner if first >= self.calls.1 + THREADS => Some("it had not begun by then"),
            Lost::Workers(_) | Lost::Owner => None,
        }
    }

    /// Near the end, when nothing else is left to be given out, what takes very long is executed once more elsewhere.
    fn is_straggler(&self, repeat: &Repeat) -> bool {
        !self.recorded.contains(&repeat.example) && repeat.begun + THREADS >= self.examples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a hundred examples 0 to 19 were called for on node 0 and 1 in turn when something was lost, 0 to 15 had a result.
    fn loss(what: Lost) -> Loss {
        Loss { what, recorded: (0..16).collect(), calls: (20, 20), examples: 100 }
    }

    /// Those calls, and then these.
    fn judged(what: Lost, later: &[(u32, usize)]) -> usize {
        let first = (0..20_u32).map(|example| (example, usize::try_from(example % 2).expect("small")));
        let calls = first.chain(later.iter().copied());
        let text: String = calls.map(|(example, node)| format!("{example} {node} 7\n")).collect();
        loss(what).unexplained(&Ledger::parse(&text)).len()
    }

    #[test]
    fn only_what_the_lost_node_had_in_hand_may_run_again_and_once() {
        let lost = Lost::Workers(1);
        assert_eq!(judged(lost, &[]), 0);
        assert_eq!(judged(lost, &[(17, 0), (19, 0)]), 0);
        assert_eq!(judged(lost, &[(16, 0)]), 1, "node 0 had it");
        assert_eq!(judged(lost, &[(15, 0)]), 1, "it had a result");
        assert_eq!(judged(lost, &[(17, 0), (17, 2)]), 1, "twice");
        let anew: Vec<(u32, usize)> = (0..20).map(|example| (example, 0)).collect();
        assert_eq!(judged(lost, &anew), 18, "everything runs again");
    }

    #[test]
    fn with_the_owner_everything_that_was_under_way_may_run_again_and_nothing_else() {
        assert_eq!(judged(Lost::Owner, &[(16, 0), (17, 0), (18, 1), (19, 1)]), 0);
        assert_eq!(judged(Lost::Owner, &[(15, 0)]), 1, "it had a result");
        let later: Vec<(u32, usize)> = (20..40).chain([39]).map(|example| (example, 0)).collect();
        assert_eq!(judged(Lost::Owner, &later), 1, "it was begun long after the loss");
    }

    #[test]
    fn stragglers_at_the_end_are_few_and_have_no_result() {
        let lost = Lost::Workers(1);
        let to_the_end = |again: &[u32]| -> Vec<(u32, usize)> {
            (20..100).chain(again.iter().copied()).map(|example| (example, 0)).collect()
        };
        assert_eq!(judged(lost, &to_the_end(&[98, 99])), 0);
        assert_eq!(judged(lost, &to_the_end(&[3])), 1, "it had a result");
        assert_eq!(judged(lost, &to_the_end(&[90, 91, 92, 93, 94, 95, 96, 97])), 2, "so many are no stragglers");
        let early: Vec<(u32, usize)> = [(16, 2)].into_iter().chain(to_the_end(&[])).collect();
        assert_eq!(judged(lost, &early), 1, "long before the end");
    }
}
