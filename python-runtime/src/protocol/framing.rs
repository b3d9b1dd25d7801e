//! Frames: a length, then `[kind, body]` in msgpack.

use bytes::{BufMut, Bytes, BytesMut};
use rmp_serde::Serializer;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt, BufReader};

/// The longest frame either side may send.
pub const MAXIMUM_FRAME_BYTES: usize = 32 * 1024 * 1024;

/// msgpack's marker for an array of two: every frame begins with it.
const ARRAY_OF_TWO: u8 = 0x92;

/// Why bytes are no frame. After any of these the connection cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Longer than [`MAXIMUM_FRAME_BYTES`].
    #[error("a frame of {0} bytes is longer than the limit of {MAXIMUM_FRAME_BYTES}")]
    TooLong(usize),
    /// The kind is in no table of this version.
    #[error("unknown frame kind {0}")]
    UnknownKind(u8),
    /// Not `[kind, body]`, or the body lacks a field or has one of another type.
    #[error("malformed frame: {0}")]
    Malformed(String),
    /// The connection ended inside a frame.
    #[error("the connection ended inside a frame")]
    Truncated,
    /// The socket failed.
    #[error("reading a frame: {0}")]
    Io(#[from] std::io::Error),
}

impl FrameError {
    fn malformed(error: impl std::fmt::Display) -> Self {
        Self::Malformed(error.to_string())
    }
}

/// Encodes a whole frame, length included.
pub(super) fn encode(kind: u8, body: &impl Serialize) -> Result<Bytes, FrameError> {
    let mut writer = BytesMut::with_capacity(256).writer();
    writer.get_mut().put_slice(&[0, 0, 0, 0, ARRAY_OF_TWO, kind]);
    // Bodies are maps, so that a field may be added without breaking the other end.
    body.serialize(&mut Serializer::new(&mut writer).with_struct_map()).map_err(FrameError::malformed)?;
    let mut frame = writer.into_inner();
    let length = frame.len() - 4;
    if length > MAXIMUM_FRAME_BYTES {
        return Err(FrameError::TooLong(length));
    }
    let prefix = u32::try_from(length).map_err(|_| FrameError::TooLong(length))?;
    frame[..4].copy_from_slice(&prefix.to_le_bytes());
    Ok(frame.freeze())
}

/// Splits a frame (without its length) into the kind and the body's bytes. Kinds are below 128: one byte in msgpack.
pub(super) fn split(frame: &[u8]) -> Result<(u8, &[u8]), FrameError> {
    match frame {
        [ARRAY_OF_TWO, kind @ 0..=0x7f, body @ ..] => Ok((*kind, body)),
        _ => Err(FrameError::Malformed("not an array of kind and body".to_owned())),
    }
}

pub(super) fn body<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, FrameError> {
    rmp_serde::from_slice(bytes).map_err(FrameError::malformed)
}

/// Reads frames from a socket.
#[derive(Debug)]
pub struct FrameReader<R> {
    source: BufReader<R>,
    buffer: Vec<u8>,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Buffers small frames: results come in a few hundred bytes each.
    pub fn new(source: R) -> Self {
        Self { source: BufReader::with_capacity(64 * 1024, source), buffer: Vec::new() }
    }

    /// The next frame without its length, or `None` when the other side has closed between frames. Not cancel-safe: a future
    /// that was dropped may have eaten half a frame.
    pub async fn next(&mut self) -> Result<Option<&[u8]>, FrameError> {
        let Some(length) = self.length().await? else { return Ok(None) };
        if length > MAXIMUM_FRAME_BYTES {
            return Err(FrameError::TooLong(length));
        }
        self.buffer.clear();
        // Grown by what arrives, not by what a broken sender announces.
        let read = (&mut self.source).take(length as u64).read_to_end(&mut self.buffer).await?;
        if read < length {
            return Err(FrameError::Truncated);
        }
        let frame = self.buffer.len();
        if self.buffer.capacity() > 4 * 1024 * 1024 && frame < 64 * 1024 {
            self.buffer.shrink_to(64 * 1024);
        }
        Ok(Some(&self.buffer))
    }

    async fn length(&mut self) -> Result<Option<usize>, FrameError> {
        let mut prefix = [0; 4];
        let mut filled = 0;
        while filled < prefix.len() {
            match self.source.read(&mut prefix[filled..]).await? {
                0 if filled == 0 => return Ok(None),
                0 => return Err(FrameError::Truncated),
                count => filled += count,
            }
        }
        Ok(Some(u32::from_le_bytes(prefix) as usize))
    }
}
