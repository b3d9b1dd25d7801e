//! Sends a bundle that the node does not have yet.

use std::fmt;
use std::str::FromStr;

use dspex_api::{Bytes, CHUNK_LIMIT_BYTES, Client, Part};
use tokio::sync::mpsc;

use super::packing::Packed;
use crate::echo::quoted;
use crate::error::CommandError;

/// Chunks between here and the connection.
const CHUNKS_IN_FLIGHT: usize = 8;

/// A bundle that the node has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its sha256, hex.
    pub digest: String,
    /// Files and links.
    pub files: usize,
    /// Of the archive.
    pub bytes: u64,
    /// It was there already.
    pub was_there: bool,
}

/// Sends it, unless the node has it.
pub async fn send(client: &Client, packed: Packed) -> Result<Stored, CommandError> {
    let Packed { bytes, digest, files } = packed;
    let length = bytes.len() as u64;
    if client.keep_blob(&digest).await? {
        return Ok(Stored { digest, files, bytes: length, was_there: true });
    }
    let (sender, receiver) = mpsc::channel(CHUNKS_IN_FLIGHT);
    let bytes = Bytes::from(bytes);
    let sending = async {
        for start in (0..bytes.len()).step_by(CHUNK_LIMIT_BYTES) {
            let chunk = bytes.slice(start..bytes.len().min(start + CHUNK_LIMIT_BYTES));
            // An upload that has ended says why by itself.
            if sender.send(Part::Chunk(chunk)).await.is_err() {
                return;
            }
        }
        let _ = sender.send(Part::End).await;
    };
    let (stored, ()) = tokio::join!(client.put_blob_stream(receiver), sending);
    let stored = stored?;
    Ok(Stored { digest: stored.digest, files, bytes: length, was_there: false })
}

/// `--bundle-limit`: bytes, as "64MiB".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(pub u64);

impl Default for Limit {
    fn default() -> Self {
        Self(dspex_bundle::BYTES_DEFAULT)
    }
}

/// As it can be typed: a default is read again from what is shown of it.
impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
        match units.into_iter().find(|(shift, _)| self.0.trailing_zeros() >= *shift) {
            Some((shift, unit)) => write!(f, "{}{unit}", self.0 >> shift),
            None => write!(f, "{}", self.0),
        }
    }
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let written = text.trim();
        let end = written.find(|one: char| !one.is_ascii_digit()).unwrap_or(written.len());
        let (number, unit) = written.split_at(end);
        let factor: Option<u64> = match unit.trim() {
            "" | "B" => Some(1),
            "KiB" => Some(1 << 10),
            "MiB" => Some(1 << 20),
            "GiB" => Some(1 << 30),
            _ => None,
        };
        let bytes = number.parse::<u64>().ok().zip(factor).and_then(|(number, factor)| number.checked_mul(factor));
        // A blob holds no more.
        match bytes {
            Some(bytes @ 1..=1_000_000_000) => Ok(Self(bytes)),
            _ => Err(format!("{} is not a size up to 1 GB, like 64MiB", quoted(text))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_size_that_a_blob_can_have() {
        let bytes = |text: &str| text.parse::<Limit>().map(|limit| limit.0).ok();
        assert_eq!((bytes("64MiB"), bytes("1 KiB"), bytes("7")), (Some(64 << 20), Some(1024), Some(7)));
        for text in ["", "0", "-1", "1.5MiB", "2GiB", "lots", "99999999999999999999", "64MB"] {
            assert_eq!(bytes(text), None, "{text}");
        }
        for (limit, shown) in [(64 << 20, "64MiB"), (3 << 10, "3KiB"), (1000, "1000"), ((64 << 20) + 1, "67108865")] {
            assert_eq!((Limit(limit).to_string().as_str(), bytes(shown)), (shown, Some(limit)));
        }
        assert_eq!(Limit::default(), Limit(64 << 20));
    }
}
