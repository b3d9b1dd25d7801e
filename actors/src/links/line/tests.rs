use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

const LONGEST: usize = 1 << 20;

/// Two ends, and what is on its way between them.
struct Pair {
    ends: [Line; 2],
    ways: [VecDeque<Packet>; 2],
    messages: [Vec<Vec<u8>>; 2],
    most_on_their_way: usize,
}

impl Pair {
    fn new() -> Self {
        let mut ends = [Line::new(11), Line::new(22)];
        ends[0].meet(22);
        ends[1].meet(11);
        Self { ends, ways: Default::default(), messages: Default::default(), most_on_their_way: 0 }
    }

    fn flush(&mut self, end: usize) {
        self.ways[end].extend(self.ends[end].packets(0));
        let parts = self.ways[end].iter().filter(|packet| matches!(packet, Packet::Part { .. })).count();
        self.most_on_their_way = self.most_on_their_way.max(parts);
    }

    /// The first packet on its way from `end` arrives.
    fn deliver(&mut self, end: usize) {
        let Some(packet) = self.ways[end].pop_front() else { return };
        let other = 1 - end;
        match self.ends[other].hear(packet, 0, LONGEST) {
            Heard::Message(message) => self.messages[other].push(message),
            Heard::Over => panic!("a line without a fault is over"),
            Heard::Nothing => {}
        }
        self.flush(other);
    }

    fn settle(&mut self) {
        while self.ways.iter().any(|way| !way.is_empty()) {
            self.deliver(0);
            self.deliver(1);
        }
    }
}

proptest! {
    /// Whatever is sent when: every message arrives once, whole, in order, and never are more pieces on their way than may be.
    #[test]
    fn messages_arrive_once_and_in_order(steps in proptest::collection::vec((0usize..2, 0usize..3, 0usize..200_000), 1..60)) {
        let mut pair = Pair::new();
        let mut sent: [Vec<Vec<u8>>; 2] = Default::default();
        pair.flush(0);
        pair.flush(1);
        for (number, (end, action, length)) in steps.into_iter().enumerate() {
            if action == 0 {
                let message = vec![number as u8; length];
                pair.ends[end].send(&message).expect("room");
                sent[end].push(message);
                pair.flush(end);
            } else {
                pair.deliver(end);
            }
        }
        pair.settle();
        prop_assert_eq!(&pair.messages[1], &sent[0]);
        prop_assert_eq!(&pair.messages[0], &sent[1]);
        prop_assert!(pair.most_on_their_way <= ON_THEIR_WAY_MAX as usize);
        prop_assert!(!pair.ends.iter().any(|end| end.is_stuck(u64::MAX)), "all was taken");
    }
}

proptest! {
    /// What lies beneath loses nothing in the middle. Should it do so once, then both ends of a line that has come to rest count differently,
    /// and it is given up: nothing stays missing without a word.
    #[test]
    fn a_line_that_has_lost_a_piece_is_given_up_when_it_rests(
        lengths in proptest::collection::vec(0usize..150_000, 1..30),
        lost in any::<prop::sample::Index>(),
    ) {
        let pieces: usize = lengths.iter().map(|length| length.div_ceil(PIECE_BYTES).max(1)).sum();
        let (mut pair, mut until_lost) = (Pair::new(), Some(lost.index(pieces)));
        for length in lengths {
            pair.ends[0].send(&vec![7; length]).expect("room");
        }
        pair.flush(0);
        while pair.ways.iter().any(|way| !way.is_empty()) {
            if matches!(pair.ways[0].front(), Some(Packet::Part { .. })) {
                if until_lost == Some(0) {
                    pair.ways[0].pop_front();
                }
                until_lost = until_lost.and_then(|left| left.checked_sub(1));
            }
            pair.deliver(0);
            pair.deliver(1);
        }
        prop_assert!(pair.ends[0].is_stuck(u64::MAX), "nobody has noticed");
        prop_assert!(!pair.ends[1].is_stuck(u64::MAX), "the other end has sent nothing");
    }
}

#[test]
fn nothing_is_said_before_the_peer_is_met() {
    let mut line = Line::new(1);
    line.send(b"early").expect("room");
    assert_eq!(line.packets(0), []);
    line.meet(2);
    assert_eq!(line.packets(0), [Packet::Part { from: 1, to: 2, last: true, bytes: b"early".to_vec() }]);
}

#[test]
fn a_packet_of_another_life_is_not_meant() {
    let mut line = Line::new(1);
    let meant = |line: &Line, from, to| line.is_meant(&Packet::Part { from, to, last: true, bytes: Vec::new() });
    assert!(!meant(&line, 2, 1), "the peer is not known yet");
    line.meet(2);
    assert!(meant(&line, 2, 1) && !meant(&line, 3, 1) && !meant(&line, 2, 4));
}

#[test]
fn a_peer_that_takes_nothing_is_given_up_and_one_that_takes_slowly_is_not() {
    let mut line = Line::new(1);
    line.meet(2);
    for _ in 0..3 {
        line.send(b"order").expect("room");
    }
    line.packets(1_000);
    assert!(!line.is_stuck(1_000 + STUCK_MS - 1) && line.is_stuck(1_000 + STUCK_MS));
    line.hear(Packet::Taken { from: 2, to: 1, pieces: 1 }, 9_000, LONGEST);
    assert!(!line.is_stuck(9_000 + STUCK_MS - 1) && line.is_stuck(9_000 + STUCK_MS));
    line.hear(Packet::Taken { from: 2, to: 1, pieces: 3 }, 9_500, LONGEST);
    assert!(!line.is_stuck(u64::MAX));
}

#[test]
fn what_waits_is_bounded_and_so_is_a_message() {
    let mut line = Line::new(1);
    let message = vec![0; WAITING_BYTES_MAX / 4];
    let taken = (0..100).take_while(|_| line.send(&message).is_ok()).count();
    assert_eq!(taken, 5, "the last one found some room");
    let mut line = Line::new(1);
    line.meet(2);
    let part = |last| Packet::Part { from: 2, to: 1, last, bytes: vec![0; 6] };
    assert_eq!(line.hear(part(false), 0, 10), Heard::Nothing);
    assert_eq!(line.hear(part(true), 0, 10), Heard::Over);
}

#[test]
fn a_peer_that_took_what_was_never_sent_ends_the_line() {
    let mut line = Line::new(1);
    line.meet(2);
    assert_eq!(line.hear(Packet::Taken { from: 2, to: 1, pieces: 1 }, 0, LONGEST), Heard::Over);
}
