//! What goes over a line, as bytes: `version | kind | from u64 | to u64 | the rest`, numbers little-endian.

const VERSION: u8 = 1;
const PART: u8 = 1;
const LAST: u8 = 2;
const TAKEN: u8 = 3;
const HEAD: usize = 18;

/// One packet. `from` and `to` name lives of the two ends: a packet of an earlier life is not taken for one of this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Packet {
    /// A piece of a message; `last`: its end.
    Part { from: u64, to: u64, last: bool, bytes: Vec<u8> },
    /// So many pieces were taken since the life began.
    Taken { from: u64, to: u64, pieces: u64 },
}

impl Packet {
    pub(super) fn encode(&self) -> Vec<u8> {
        let (kind, from, to, rest): (u8, u64, u64, &[u8]) = match self {
            Self::Part { from, to, last, bytes } => (if *last { LAST } else { PART }, *from, *to, bytes),
            Self::Taken { from, to, pieces } => (TAKEN, *from, *to, &pieces.to_le_bytes()),
        };
        let mut whole = Vec::with_capacity(HEAD + rest.len());
        whole.extend([VERSION, kind]);
        whole.extend(from.to_le_bytes());
        whole.extend(to.to_le_bytes());
        whole.extend(rest);
        whole
    }

    /// `None`: of another version, or none at all.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (&[version, kind], rest) = bytes.split_first_chunk()?;
        let (from, rest) = rest.split_first_chunk()?;
        let (to, rest) = rest.split_first_chunk()?;
        let (from, to) = (u64::from_le_bytes(*from), u64::from_le_bytes(*to));
        match kind {
            _ if version != VERSION => None,
            PART | LAST => Some(Self::Part { from, to, last: kind == LAST, bytes: rest.to_vec() }),
            TAKEN => Some(Self::Taken { from, to, pieces: u64::from_le_bytes(rest.try_into().ok()?) }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_packets_are_pinned() {
        let hex = |packet: &Packet| packet.encode().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let of = |packet: Packet, expected: &str| {
            assert_eq!(hex(&packet), expected);
            assert_eq!(Packet::decode(&packet.encode()), Some(packet));
        };
        of(Packet::Part { from: 1, to: 2, last: false, bytes: vec![7] }, "01010100000000000000020000000000000007");
        of(Packet::Part { from: 1, to: 2, last: true, bytes: vec![] }, "010201000000000000000200000000000000");
        of(Packet::Taken { from: 1, to: 2, pieces: 3 }, "0103010000000000000002000000000000000300000000000000");
    }

    #[test]
    fn other_bytes_are_no_packet() {
        let part = Packet::Part { from: 1, to: 2, last: true, bytes: vec![] }.encode();
        let newer = [&[2], &part[1..]].concat();
        let unknown = [&[1, 9], &part[2..]].concat();
        for bytes in [&[][..], &part[..HEAD - 1], &newer, &unknown] {
            assert_eq!(Packet::decode(bytes), None, "{bytes:?}");
        }
        let taken = Packet::Taken { from: 1, to: 2, pieces: 3 }.encode();
        assert_eq!(Packet::decode(&taken[..taken.len() - 1]), None);
    }
}
