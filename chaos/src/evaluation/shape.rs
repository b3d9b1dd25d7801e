//! How many nodes a cluster has, and how many of them vote.

use crate::control::Chance;

/// The sizes for which the same digest is promised.
const SIZES: [usize; 4] = [1, 2, 3, 8];

/// A cluster to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Nodes that vote.
    pub voters: usize,
    /// Nodes that do not.
    pub workers: usize,
}

impl Shape {
    /// Of so many nodes, else of as many as chance has it. One, three or five vote.
    pub fn draw(chance: &mut Chance, nodes: Option<usize>) -> Self {
        let nodes = nodes.or_else(|| chance.pick(&SIZES)).unwrap_or(1).max(1);
        let possible: Vec<usize> = [1, 3, 5].into_iter().filter(|voters| *voters <= nodes).collect();
        // A cluster of three with one voter loses with it everything that three are for.
        let most = possible.last().copied().unwrap_or(1);
        let drawn = chance.pick(&possible).unwrap_or(1);
        let voters = if most >= 3 { drawn.max(3) } else { drawn };
        Self { voters, workers: nodes - voters }
    }

    /// All nodes.
    pub fn nodes(self) -> usize {
        self.voters + self.workers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_three_or_five_vote_and_every_size_is_drawn() {
        let mut chance = Chance::new(4);
        let drawn: Vec<Shape> = (0..200).map(|_| Shape::draw(&mut chance, None)).collect();
        for size in SIZES {
            assert!(drawn.iter().any(|shape| shape.nodes() == size), "{size}");
        }
        for (nodes, voters) in [(1, vec![1]), (2, vec![1]), (3, vec![3]), (4, vec![3]), (8, vec![3, 5])] {
            let mut seen: Vec<usize> = (0..100).map(|_| Shape::draw(&mut chance, Some(nodes)).voters).collect();
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen, voters, "{nodes} nodes");
        }
    }
}
