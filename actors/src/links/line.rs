//! One end of what two nodes tell each other: messages in their order, each once, for as long as the line lives. ractor_cluster
//! bounds nothing of what it is given and says nothing of what is lost, so this does: pieces that the peer has not taken are few,
//! what waits behind them is bounded, and a line on which nothing is taken any more is given up by both ends.

use std::collections::VecDeque;

use super::packet::Packet;

/// Below the coordination channel's frame, with what ractor_cluster adds.
const PIECE_BYTES: usize = 32 << 10;
/// Pieces on their way: 2 MiB.
const ON_THEIR_WAY_MAX: u64 = 64;
/// The peer is told what was taken after so many pieces.
const TELL_AFTER: u64 = 16;
/// What may wait at this end, a long message not counted.
const WAITING_BYTES_MAX: usize = 16 << 20;
/// A peer that takes nothing for so long is given up.
const STUCK_MS: u64 = 10_000;

/// One end.
#[derive(Debug)]
pub(super) struct Line {
    own: u64,
    theirs: Option<u64>,
    waiting: VecDeque<(Vec<u8>, bool)>,
    waiting_bytes: usize,
    sent: u64,
    taken: u64,
    /// Since when something has been on its way without any of it being taken.
    unmoved_since_ms: Option<u64>,
    assembled: Vec<u8>,
    received: u64,
    told: u64,
}

/// What a packet means for this end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Nothing,
    /// A whole message.
    Message(Vec<u8>),
    /// The peer says what cannot be: the line is at its end.
    Over,
}

/// There is no room: the line is to be given up, since who stands behind it relies on every message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Line {
    /// `own` names this life of the line; it is never used twice.
    pub(super) fn new(own: u64) -> Self {
        Self {
            own,
            theirs: None,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            sent: 0,
            taken: 0,
            unmoved_since_ms: None,
            assembled: Vec::new(),
            received: 0,
            told: 0,
        }
    }

    /// The peer's life, as it said on the connection beneath.
    pub(super) fn meet(&mut self, theirs: u64) {
        self.theirs = Some(theirs);
    }

    pub(super) fn has_met(&self) -> bool {
        self.theirs.is_some()
    }

    /// Whether the packet is of the peer that this line leads to, and for this life of this end.
    pub(super) fn is_meant(&self, packet: &Packet) -> bool {
        let (Packet::Part { from, to, .. } | Packet::Taken { from, to, .. }) = packet;
        self.theirs == Some(*from) && self.own == *to
    }

    /// Puts a message behind those that wait.
    pub(super) fn send(&mut self, message: &[u8]) -> Result<(), Full> {
        if self.waiting_bytes > WAITING_BYTES_MAX {
            return Err(Full);
        }
        self.waiting_bytes += message.len();
        let mut pieces = message.chunks(PIECE_BYTES).peekable();
        if pieces.peek().is_none() {
            self.waiting.push_back((Vec::new(), true));
        }
        while let Some(piece) = pieces.next() {
            self.waiting.push_back((piece.to_vec(), pieces.peek().is_none()));
        }
        Ok(())
    }

    /// What is to be put on its way now.
    pub(super) fn packets(&mut self, now_ms: u64) -> Vec<Packet> {
        let mut packets = Vec::new();
        let from = self.own;
        let Some(to) = self.theirs else { return packets };
        if self.received - self.told >= TELL_AFTER || (self.received > self.told && self.assembled.is_empty()) {
            self.told = self.received;
            packets.push(Packet::Taken { from, to, pieces: self.received });
        }
        while self.sent - self.taken < ON_THEIR_WAY_MAX {
            let Some((bytes, last)) = self.waiting.pop_front() else { break };
            self.waiting_bytes -= bytes.len();
            self.sent += 1;
            self.unmoved_since_ms.get_or_insert(now_ms);
            packets.push(Packet::Part { from, to, last, bytes });
        }
        packets
    }

    /// Of packets that are meant.
    pub(super) fn hear(&mut self, packet: Packet, now_ms: u64, longest: usize) -> Heard {
        match packet {
            Packet::Part { last, bytes, .. } => {
                self.received += 1;
                if self.assembled.len() + bytes.len() > longest {
                    return Heard::Over;
                }
                self.assembled.extend(bytes);
                if last { Heard::Message(std::mem::take(&mut self.assembled)) } else { Heard::Nothing }
            }
            Packet::Taken { pieces, .. } => {
                if pieces > self.sent || pieces < self.taken {
                    return Heard::Over;
                }
                self.taken = pieces;
                self.unmoved_since_ms = (self.taken < self.sent).then_some(now_ms);
                Heard::Nothing
            }
        }
    }

    /// Whether the peer takes nothing any more.
    pub(super) fn is_stuck(&self, now_ms: u64) -> bool {
        self.unmoved_since_ms.is_some_and(|since| now_ms.saturating_sub(since) >= STUCK_MS)
    }
}

#[cfg(test)]
mod tests;
