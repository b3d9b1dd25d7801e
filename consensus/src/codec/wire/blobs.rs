//! What nodes say to each other about blobs. The kinds continue those of the log.
//!
//! ```text
//! 50 digests           count u32, digest 32 bytes ...
//! 51 blob piece        digest 32 bytes | length of the whole u64 | offset u64 | bytes
//! 52 blob read         digest 32 bytes | chunk u32
//! 53 blob chunk        0 | 1 length of the whole u64 | bytes
//! 54 lacking           index u64 | blobs u64
//! 55 blobs             count u32, (length u32 | bytes) ...
//! ```

use std::io;

use bytes::Bytes;
use dspex_model::Digest;

use super::unknown;
use crate::blobs::keeper::Lacking;
use crate::codec::bytes::{Reader, Writer, damaged};

const DIGESTS: u8 = 50;
const BLOB_PIECE: u8 = 51;
const BLOB_READ: u8 = 52;
const BLOB_CHUNK: u8 = 53;
const LACKING: u8 = 54;
const BLOBS: u8 = 55;

/// Digests of one question: half a frame.
pub(crate) const DIGESTS_MAX: usize = 16 * 1024;

pub(crate) fn encode_digests(digests: &[Digest]) -> Bytes {
    let mut writer = Writer::new(DIGESTS, 4 + 32 * digests.len());
    writer.count(digests.len());
    digests.iter().for_each(|digest| writer.raw(&digest.0));
    writer.finish().into()
}

pub(crate) fn decode_digests(bytes: &[u8]) -> io::Result<Vec<Digest>> {
    let mut reader = Reader::open_as("digests", DIGESTS, bytes)?;
    let count = reader.u32()?;
    let mut digests = Vec::new();
    for _ in 0..count {
        digests.push(read_digest(&mut reader)?);
    }
    reader.end()?;
    Ok(digests)
}

pub(crate) fn encode_blob_piece(digest: &Digest, length: u64, offset: u64, piece: &[u8]) -> Bytes {
    let mut writer = Writer::new(BLOB_PIECE, 48 + piece.len());
    writer.raw(&digest.0);
    writer.u64(length);
    writer.u64(offset);
    writer.raw(piece);
    writer.finish().into()
}

pub(crate) fn decode_blob_piece(bytes: &[u8]) -> io::Result<(Digest, u64, u64, &[u8])> {
    let mut reader = Reader::open_as("blob piece", BLOB_PIECE, bytes)?;
    Ok((read_digest(&mut reader)?, reader.u64()?, reader.u64()?, reader.rest()))
}

pub(crate) fn encode_blob_read(digest: &Digest, number: u32) -> Bytes {
    let mut writer = Writer::new(BLOB_READ, 36);
    writer.raw(&digest.0);
    writer.count(number as usize);
    writer.finish().into()
}

pub(crate) fn decode_blob_read(bytes: &[u8]) -> io::Result<(Digest, u32)> {
    let mut reader = Reader::open_as("blob read", BLOB_READ, bytes)?;
    let read = (read_digest(&mut reader)?, reader.u32()?);
    reader.end()?;
    Ok(read)
}

pub(crate) fn encode_blob_chunk(chunk: Option<&(u64, Vec<u8>)>) -> Bytes {
    let mut writer = Writer::new(BLOB_CHUNK, 16 + chunk.map_or(0, |(_, bytes)| bytes.len()));
    match chunk {
        None => writer.u8(0),
        Some((length, bytes)) => {
            writer.u8(1);
            writer.u64(*length);
            writer.raw(bytes);
        }
    }
    writer.finish().into()
}

pub(crate) fn decode_blob_chunk(bytes: &[u8]) -> io::Result<Option<(u64, &[u8])>> {
    let mut reader = Reader::open_as("blob chunk", BLOB_CHUNK, bytes)?;
    let chunk = match reader.u8()? {
        0 => None,
        1 => Some((reader.u64()?, reader.rest())),
        other => return Err(unknown("blob chunk", other)),
    };
    reader.end()?;
    Ok(chunk)
}

pub(crate) fn encode_lacking(lacking: Lacking) -> Bytes {
    let mut writer = Writer::new(LACKING, 16);
    writer.u64(lacking.index);
    writer.u64(lacking.blobs);
    writer.finish().into()
}

pub(crate) fn decode_lacking(bytes: &[u8]) -> io::Result<Lacking> {
    let mut reader = Reader::open_as("what a node lacks", LACKING, bytes)?;
    let lacking = Lacking { index: reader.u64()?, blobs: reader.u64()? };
    reader.end()?;
    Ok(lacking)
}

pub(crate) fn encode_blobs(blobs: &[Vec<u8>]) -> Bytes {
    let mut writer = Writer::new(BLOBS, 4 + blobs.iter().map(|blob| 4 + blob.len()).sum::<usize>());
    writer.count(blobs.len());
    for blob in blobs {
        writer.count(blob.len());
        writer.raw(blob);
    }
    writer.finish().into()
}

pub(crate) fn decode_blobs(bytes: &[u8]) -> io::Result<Vec<&[u8]>> {
    let mut reader = Reader::open_as("blobs", BLOBS, bytes)?;
    let count = reader.u32()?;
    let mut blobs = Vec::new();
    for _ in 0..count {
        let length = reader.u32()?;
        blobs.push(reader.take(length as usize)?);
    }
    reader.end()?;
    Ok(blobs)
}

fn read_digest(reader: &mut Reader<'_>) -> io::Result<Digest> {
    let bytes: [u8; 32] = reader.take(32)?.try_into().map_err(|_| damaged("digest", "cut short"))?;
    Ok(Digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn what_is_said_of_blobs_is_pinned() {
        let digest = Digest([7; 32]);
        let sevens = "07".repeat(32);
        let bytes = encode_digests(&[digest]);
        assert_eq!(hex(&bytes), format!("d59e0132 01000000 {sevens}").replace(' ', ""));
        assert_eq!(decode_digests(&bytes).expect("readable"), [digest]);
        let bytes = encode_blob_piece(&digest, 9, 4, b"ab");
        assert_eq!(hex(&bytes), format!("d59e0133 {sevens} 0900000000000000 0400000000000000 6162").replace(' ', ""));
        assert_eq!(decode_blob_piece(&bytes).expect("readable"), (digest, 9, 4, &b"ab"[..]));
        let bytes = encode_blob_read(&digest, 3);
        assert_eq!(hex(&bytes), format!("d59e0134 {sevens} 03000000").replace(' ', ""));
        assert_eq!(decode_blob_read(&bytes).expect("readable"), (digest, 3));
        assert_eq!(hex(&encode_blob_chunk(None)), "d59e013500");
        assert_eq!(decode_blob_chunk(&encode_blob_chunk(None)).expect("readable"), None);
        let bytes = encode_blob_chunk(Some(&(9, b"ab".to_vec())));
        assert_eq!(hex(&bytes), "d59e0135 01 0900000000000000 6162".replace(' ', ""));
        assert_eq!(decode_blob_chunk(&bytes).expect("readable"), Some((9, &b"ab"[..])));
        let lacking = Lacking { index: 9, blobs: 2 };
        let bytes = encode_lacking(lacking);
        assert_eq!(hex(&bytes), "d59e0136 0900000000000000 0200000000000000".replace(' ', ""));
        assert_eq!(decode_lacking(&bytes).expect("readable"), lacking);
        let bytes = encode_blobs(&[b"ab".to_vec(), Vec::new()]);
        assert_eq!(hex(&bytes), "d59e0137 02000000 02000000 6162 00000000".replace(' ', ""));
        assert_eq!(decode_blobs(&bytes).expect("readable"), [&b"ab"[..], b""]);
    }

    #[test]
    fn what_is_cut_short_is_refused() {
        let digest = Digest([7; 32]);
        let whole = [encode_digests(&[digest]), encode_blob_read(&digest, 3), encode_blobs(&[b"abc".to_vec()])];
        for bytes in whole {
            for cut in 0..bytes.len() {
                let bytes = &bytes[..cut];
                assert!(
                    decode_digests(bytes).is_err() && decode_blob_read(bytes).is_err() && decode_blobs(bytes).is_err()
                );
            }
        }
    }
}
