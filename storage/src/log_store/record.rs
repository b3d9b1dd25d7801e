//! How an entry is stored: `crc32c u32 | end_bytes u64 | payload`, little endian, under `e` and the index big endian.
//!
//! `end_bytes` is the sum of all payload lengths up to and with this entry, so the size of any stretch of the log is
//! known from two entries. The checksum covers the index too: an entry under a wrong key is damage.

use std::io;

use crate::error::corrupt;

const ENTRY_PREFIX: u8 = b'e';
const HEADER_BYTES: usize = 12;

/// A stored entry.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) end_bytes: u64,
    pub(super) payload: Vec<u8>,
}

impl Record {
    pub(super) fn encode(index: u64, end_bytes: u64, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len());
        bytes.extend_from_slice(&checksum(index, end_bytes, payload).to_le_bytes());
        bytes.extend_from_slice(&end_bytes.to_le_bytes());
        bytes.extend_from_slice(payload);
        bytes
    }

    pub(super) fn decode(index: u64, bytes: &[u8]) -> io::Result<Self> {
        let damaged = || corrupt(format!("log entry {index} fails its checksum"));
        let (stored, rest) = bytes.split_first_chunk::<4>().ok_or_else(damaged)?;
        let (end_bytes, payload) = rest.split_first_chunk::<8>().ok_or_else(damaged)?;
        let end_bytes = u64::from_le_bytes(*end_bytes);
        if checksum(index, end_bytes, payload) != u32::from_le_bytes(*stored) {
            return Err(damaged());
        }
        Ok(Self { end_bytes, payload: payload.to_vec() })
    }
}

fn checksum(index: u64, end_bytes: u64, payload: &[u8]) -> u32 {
    let sum = crc32c::crc32c(&index.to_be_bytes());
    crc32c::crc32c_append(crc32c::crc32c_append(sum, &end_bytes.to_le_bytes()), payload)
}

/// The key of an entry. Big endian, so that RocksDB's order is the log's order.
pub(super) fn entry_key(index: u64) -> [u8; 9] {
    let mut key = [ENTRY_PREFIX; 9];
    key[1..].copy_from_slice(&index.to_be_bytes());
    key
}

/// The index that a key stands for.
pub(super) fn entry_index(key: &[u8]) -> io::Result<u64> {
    match key.split_first() {
        Some((&ENTRY_PREFIX, index)) => index.try_into().map(u64::from_be_bytes).ok(),
        _ => None,
    }
    .ok_or_else(|| corrupt(format!("unknown key {key:02x?} among the log entries")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_bytes_are_pinned() {
        assert_eq!(entry_key(258), [b'e', 0, 0, 0, 0, 0, 0, 1, 2]);
        let bytes = Record::encode(258, 1000, b"abc");
        assert_eq!(bytes[4..], [232, 3, 0, 0, 0, 0, 0, 0, b'a', b'b', b'c']);
        assert_eq!(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]), GOLDEN_CHECKSUM);
    }

    const GOLDEN_CHECKSUM: u32 = 1786184554;

    #[test]
    fn every_flipped_bit_and_every_wrong_index_is_noticed() {
        let bytes = Record::encode(7, 3, b"abc");
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Record::decode(7, &damaged).is_err(), "bit {bit}");
        }
        assert!(Record::decode(8, &bytes).is_err());
        assert!(Record::decode(7, &bytes[..6]).is_err());
        assert!(Record::decode(7, &bytes).is_ok());
    }
}
