//! Lines between nodes: what is said on one arrives in order, or is lost with all that comes after it, and each end learns of that later.

use std::collections::BTreeMap;

use dspex_model::NodeId;

/// Two nodes, the smaller one first.
type Pair = (NodeId, NodeId);

#[derive(Debug, Default)]
pub(super) struct Lines(BTreeMap<Pair, Line>);

#[derive(Debug, Default)]
struct Line {
    /// Of the lives of this line, the present one.
    life: u64,
    is_whole: bool,
    /// Whether the ends take it for whole.
    believed: [bool; 2],
    /// When the last message of each end arrives.
    last_arrival_us: [u64; 2],
    /// Nothing can be said before.
    cut_until_us: u64,
}

fn pair(one: NodeId, other: NodeId) -> (Pair, usize) {
    if one < other { ((one, other), 0) } else { ((other, one), 1) }
}

impl Lines {
    /// When a message arrives, and in which life of the line; `None`: its sender knows that there is no line. One that is sent into a line
    /// that is not whole any more never arrives.
    pub(super) fn say(&mut self, from: NodeId, to: NodeId, now_us: u64, takes_us: u64) -> Option<(u64, u64)> {
        let (pair, end) = pair(from, to);
        let line = self.0.entry(pair).or_default();
        if !line.believed[end] {
            return None;
        }
        let at = (now_us + takes_us).max(line.last_arrival_us[end]);
        line.last_arrival_us[end] = at;
        Some((at, line.life))
    }

    /// Whether what was said in this life arrives.
    pub(super) fn carries(&self, from: NodeId, to: NodeId, life: u64) -> bool {
        self.0.get(&pair(from, to).0).is_some_and(|line| line.is_whole && line.life == life)
    }

    /// The line breaks; its life, where there was one.
    pub(super) fn lose(&mut self, one: NodeId, other: NodeId, cut_until_us: u64) -> Option<u64> {
        let line = self.0.entry(pair(one, other).0).or_default();
        line.cut_until_us = line.cut_until_us.max(cut_until_us);
        let was_whole = std::mem::take(&mut line.is_whole);
        was_whole.then_some(line.life)
    }

    /// A node learns that the line is lost; `true`: it did not know.
    pub(super) fn learn(&mut self, node: NodeId, peer: NodeId, life: u64) -> bool {
        let (pair, end) = pair(node, peer);
        let Some(line) = self.0.get_mut(&pair) else { return false };
        line.life == life && std::mem::take(&mut line.believed[end])
    }

    /// A node that was dead knows of no line.
    pub(super) fn forget(&mut self, node: NodeId, peer: NodeId) {
        let (pair, end) = pair(node, peer);
        if let Some(line) = self.0.get_mut(&pair) {
            line.believed[end] = false;
        }
    }

    /// A new life of the line, where both ends know that the last one is over.
    pub(super) fn join(&mut self, one: NodeId, other: NodeId, now_us: u64) {
        let line = self.0.entry(pair(one, other).0).or_default();
        if !line.is_whole && line.believed == [false, false] && now_us >= line.cut_until_us {
            *line = Line { life: line.life + 1, is_whole: true, believed: [true, true], ..Line::default() };
        }
    }

    /// Whether a node takes the line for whole.
    pub(super) fn is_up(&self, node: NodeId, peer: NodeId) -> bool {
        let (pair, end) = pair(node, peer);
        self.0.get(&pair).is_some_and(|line| line.believed[end])
    }
}
