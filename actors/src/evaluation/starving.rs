//! A run of which no node takes workers: what is done about that, the longer it lasts. Without a word it would wait for ever.

use dspex_model::BoardEvent;

use super::placement;
use super::since::Since;
use super::work::Work;

/// Nodes come back, and some are told to drain while others start again: so long nothing is done.
const PATIENCE_US: u64 = 30_000_000;
/// So long what all nodes refuse the run for may be mended by a node that comes.
const REFUSED_MAX_US: u64 = 300_000_000;

/// No node takes workers of the run.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Starving {
    since: Since,
    is_told: bool,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Wait,
    /// People are to know, and nodes that drain have workers of it rather than nobody.
    Make,
    /// It would never begin.
    Cancel,
}

fn step(without_us: u64, is_refused_by_all: bool) -> Step {
    match without_us {
        ..PATIENCE_US => Step::Wait,
        REFUSED_MAX_US.. if is_refused_by_all => Step::Cancel,
        _ => Step::Make,
    }
}

impl Work {
    /// Nodes that drain have workers of the run rather than nobody.
    pub(super) fn is_starved(&self) -> bool {
        let without_us = self.starving.since.so_far(self.now_us());
        without_us.is_some_and(|without_us| step(without_us, false) != Step::Wait)
    }

    /// Looks whether there is a node to execute the run. Tells why it is to be cancelled.
    pub(super) fn look_for_sites(&mut self) -> Option<String> {
        let now_us = self.now_us();
        self.shut_out.reopen(now_us);
        // A directory of this node is nowhere else.
        if self.spec.shipped.is_none() || !placement::taking(self.candidates(), false).is_empty() {
            self.starving = Starving::default();
            return None;
        }
        let without_us = self.starving.since.lasts(now_us);
        // What is under way ends wherever it is.
        if !self.members.is_empty() || self.plan.waiting() == 0 || !self.sites().is_empty() {
            return None;
        }
        let refusal = self.shut_out.refusal_of_all(self.arguments.context.links.presences().into_keys());
        match step(without_us, refusal.is_some()) {
            Step::Wait => None,
            Step::Make => {
                self.tell_of_want(refusal);
                None
            }
            Step::Cancel => Some(format!(
                "no node can execute it ({}); resume it when one has what it needs",
                refusal.unwrap_or_default()
            )),
        }
    }

    fn tell_of_want(&mut self, refusal: Option<String>) {
        if !std::mem::replace(&mut self.starving.is_told, true) {
            let why = refusal.unwrap_or_else(|| "none is there that could record results".to_owned());
            let text = format!("the run waits: no node takes workers of it ({why})");
            self.arguments.board.publish(BoardEvent::Warning(text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_without_a_node_waits_is_told_of_and_cancelled_only_where_all_nodes_refuse_it() {
        for is_refused_by_all in [true, false] {
            assert_eq!(step(PATIENCE_US - 1, is_refused_by_all), Step::Wait);
            assert_eq!(step(REFUSED_MAX_US - 1, is_refused_by_all), Step::Make);
        }
        assert_eq!(step(REFUSED_MAX_US, true), Step::Cancel);
        assert_eq!(step(u64::MAX, false), Step::Make, "nodes come back");
    }
}
