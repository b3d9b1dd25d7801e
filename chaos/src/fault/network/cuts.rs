//! Which ways are cut, and the rules of the switch that say so.

use std::collections::BTreeSet;
use std::fmt::Write;

/// Pairs of from and to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cuts(BTreeSet<(u32, u32)>);

impl Cuts {
    pub(super) fn cut(&mut self, from: u32, to: u32) {
        self.0.insert((from, to));
    }

    pub(super) fn heal(&mut self, from: u32, to: u32) {
        self.0.remove(&(from, to));
    }

    pub(super) fn partition(&mut self, groups: &[&[u32]]) {
        for (number, group) in groups.iter().enumerate() {
            let others = groups.iter().enumerate().filter(|(other, _)| *other != number);
            for &to in others.flat_map(|(_, other)| other.iter()) {
                self.0.extend(group.iter().map(|&from| (from, to)));
            }
        }
    }

    /// For `nft -f -`: these cuts and no others, whatever was there.
    pub(super) fn rules(&self) -> String {
        let mut rules = String::from(
            "add table bridge cuts\nadd chain bridge cuts ways { type filter hook forward priority 0; }\nflush chain bridge cuts ways\n",
        );
        for (from, to) in &self.0 {
            // Writing to a string cannot fail.
            let _ = writeln!(rules, "add rule bridge cuts ways iifname \"p{from}\" oifname \"p{to}\" drop");
        }
        rules
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_cuts_every_way_between_its_groups_and_none_within() {
        let mut cuts = Cuts::default();
        cuts.partition(&[&[1, 2], &[3]]);
        assert_eq!(cuts, Cuts([(1, 3), (2, 3), (3, 1), (3, 2)].into()));
        cuts.heal(1, 3);
        cuts.cut(4, 1);
        assert_eq!(cuts, Cuts([(2, 3), (3, 1), (3, 2), (4, 1)].into()));
    }

    #[test]
    fn rules_replace_what_was_there() {
        let mut cuts = Cuts::default();
        cuts.cut(1, 2);
        let rules = cuts.rules();
        let lines: Vec<&str> = rules.lines().collect();
        assert_eq!(
            lines[2..],
            ["flush chain bridge cuts ways", "add rule bridge cuts ways iifname \"p1\" oifname \"p2\" drop"]
        );
        assert_eq!(Cuts::default().rules().lines().count(), 3);
    }
}
