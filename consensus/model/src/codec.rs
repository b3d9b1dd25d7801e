//! The one place that knows how values become bytes: `version byte | bincode`.
//!
//! bincode is unmaintained (RUSTSEC-2025-0141), so nothing else names it, golden tests pin the bytes, and another codec
//! can take over under a new version byte.

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bincode::error::{DecodeError, EncodeError};
use serde::{Serialize, de::DeserializeOwned};

/// Nothing that the log or the state holds is larger; a hostile length cannot make the decoder allocate more.
const VALUE_BYTES_MAX: usize = 1 << 20;

type Config = Configuration<LittleEndian, Varint, Limit<VALUE_BYTES_MAX>>;

const CONFIG: Config = bincode::config::standard().with_limit::<VALUE_BYTES_MAX>();

/// What peers tell each other may be longer than what they agree on.
const LONG: Configuration<LittleEndian, Varint, Limit<{ crate::PEER_MESSAGE_BYTES_MAX }>> =
    bincode::config::standard().with_limit::<{ crate::PEER_MESSAGE_BYTES_MAX }>();

/// Bytes that are not what they should be. Never skipped: a node that cannot read its log stops.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// Written by a newer version of DSPex.
    #[error("{what} has format version {found}, this program reads up to {supported}: start a newer dspex")]
    Newer {
        /// The kind of value.
        what: &'static str,
        /// The version byte found.
        found: u8,
        /// The newest version this program reads.
        supported: u8,
    },
    /// Damaged, or not ours.
    #[error("{what} is damaged: {detail}")]
    Damaged {
        /// The kind of value.
        what: &'static str,
        /// What the decoder said.
        detail: String,
    },
    /// Too large to be proposed.
    #[error("{what} takes {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// The kind of value.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
}

pub(crate) fn encode<T: Serialize>(what: &'static str, version: u8, value: &T) -> Result<Vec<u8>, CodecError> {
    let mut bytes = vec![version];
    // A limit is kept by decoding only.
    bincode::serde::encode_into_std_write(value, &mut bytes, CONFIG)
        .map_err(|error: EncodeError| damaged(what, error))?;
    Ok(bytes)
}

pub(crate) fn decode<T: DeserializeOwned>(what: &'static str, version: u8, bytes: &[u8]) -> Result<T, CodecError> {
    decode_within(what, version, bytes, CONFIG)
}

pub(crate) fn decode_long<T: DeserializeOwned>(what: &'static str, version: u8, bytes: &[u8]) -> Result<T, CodecError> {
    decode_within(what, version, bytes, LONG)
}

fn decode_within<T: DeserializeOwned, C: bincode::config::Config>(
    what: &'static str,
    version: u8,
    bytes: &[u8],
    config: C,
) -> Result<T, CodecError> {
    let (&found, body) = bytes.split_first().ok_or_else(|| damaged(what, "empty"))?;
    if found > version {
        return Err(CodecError::Newer { what, found, supported: version });
    }
    if found != version {
        return Err(damaged(what, format!("unknown version {found}")));
    }
    let (value, read) =
        bincode::serde::decode_from_slice(body, config).map_err(|error: DecodeError| damaged(what, error))?;
    if read != body.len() {
        return Err(damaged(what, format!("{} bytes too many", body.len() - read)));
    }
    Ok(value)
}

#[expect(clippy::needless_pass_by_value, reason = "it stands behind `map_err`, with errors and texts")]
pub(crate) fn damaged(what: &'static str, detail: impl ToString) -> CodecError {
    CodecError::Damaged { what, detail: detail.to_string() }
}
