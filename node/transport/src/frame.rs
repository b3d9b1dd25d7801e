//! What is said on a connection after the hello.
//!
//! ```text
//! length u32 | kind u8 | id u64 | body          length counts what follows it; numbers are little endian
//!
//! 1 request   method u8 | bytes                 answered by a 2 or a 3 with the same id
//! 2 reply     bytes
//! 3 refusal   code u8 | text
//! 4 message   method u8 | bytes                 id 0, no answer
//! 5 ping      id 0, no body                     any frame shows that the peer lives; pings fill silence
//! ```
//! Ids belong to the side that asks. Kinds are never reused; an unknown one ends the connection.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Length, kind and id.
pub(crate) const HEADER: usize = 13;
const LENGTH: usize = 4;

const REQUEST: u8 = 1;
const REPLY: u8 = 2;
const REFUSAL: u8 = 3;
const MESSAGE: u8 = 4;
const PING: u8 = 5;

/// Why a request was not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// It failed there.
    Failed = 1,
    /// There is no room there: it was not begun.
    Full = 2,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Frame {
    Request { id: u64, method: u8, body: Bytes },
    Reply { id: u64, body: Bytes },
    Refusal { id: u64, code: Code, text: String },
    Message { method: u8, body: Bytes },
    Ping,
}

/// Bytes that are no frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("a frame of {length} bytes; the limit is {limit}")]
    TooLong { length: usize, limit: usize },
    #[error("a frame of kind {0}, which this version does not know")]
    Unknown(u8),
    #[error("a frame that is cut short")]
    Short,
}

impl Frame {
    /// Bytes on the wire.
    pub(crate) fn encode(&self) -> Bytes {
        let (kind, id) = match self {
            Self::Request { id, .. } => (REQUEST, *id),
            Self::Reply { id, .. } => (REPLY, *id),
            Self::Refusal { id, .. } => (REFUSAL, *id),
            Self::Message { .. } => (MESSAGE, 0),
            Self::Ping => (PING, 0),
        };
        let (first, body): (Option<u8>, &[u8]) = match self {
            Self::Request { method, body, .. } | Self::Message { method, body } => (Some(*method), body),
            Self::Reply { body, .. } => (None, body),
            Self::Refusal { code, text, .. } => (Some(*code as u8), text.as_bytes()),
            Self::Ping => (None, &[]),
        };
        let length = HEADER - LENGTH + usize::from(first.is_some()) + body.len();
        let mut bytes = BytesMut::with_capacity(LENGTH + length);
        // Longer ones are refused before they are made, see `Policy::frame_max`.
        bytes.put_u32_le(u32::try_from(length).unwrap_or(u32::MAX));
        bytes.put_u8(kind);
        bytes.put_u64_le(id);
        if let Some(first) = first {
            bytes.put_u8(first);
        }
        bytes.put_slice(body);
        bytes.freeze()
    }

    /// Takes the first frame off the buffer, if all of it is there.
    pub(crate) fn take(buffer: &mut BytesMut, limit: usize) -> Result<Option<Self>, FrameError> {
        let Some((length, _)) = buffer.split_first_chunk::<LENGTH>() else { return Ok(None) };
        let length = u32::from_le_bytes(*length) as usize;
        if length > limit {
            return Err(FrameError::TooLong { length, limit });
        }
        if buffer.len() < LENGTH + length {
            return Ok(None);
        }
        buffer.advance(LENGTH);
        Self::decode(buffer.split_to(length).freeze()).map(Some)
    }

    fn decode(mut bytes: Bytes) -> Result<Self, FrameError> {
        if bytes.len() < HEADER - LENGTH {
            return Err(FrameError::Short);
        }
        let (kind, id) = (bytes.get_u8(), bytes.get_u64_le());
        let mut first = || if bytes.has_remaining() { Ok(bytes.get_u8()) } else { Err(FrameError::Short) };
        Ok(match kind {
            REQUEST => Self::Request { id, method: first()?, body: bytes },
            REPLY => Self::Reply { id, body: bytes },
            REFUSAL => {
                let code = if first()? == Code::Full as u8 { Code::Full } else { Code::Failed };
                Self::Refusal { id, code, text: String::from_utf8_lossy(&bytes).into_owned() }
            }
            MESSAGE => Self::Message { method: first()?, body: bytes },
            PING => Self::Ping,
            other => return Err(FrameError::Unknown(other)),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn all(bytes: &[u8], limit: usize) -> Result<Vec<Frame>, FrameError> {
        let mut buffer = BytesMut::from(bytes);
        let mut frames = Vec::new();
        while let Some(frame) = Frame::take(&mut buffer, limit)? {
            frames.push(frame);
        }
        Ok(frames)
    }

    #[test]
    fn frames_are_golden() {
        let body = Bytes::from_static(b"ab");
        for (frame, golden) in [
            (Frame::Request { id: 7, method: 2, body: body.clone() }, "0c000000010700000000000000026162"),
            (Frame::Reply { id: 7, body: body.clone() }, "0b0000000207000000000000006162"),
            (Frame::Refusal { id: 7, code: Code::Full, text: "no".to_owned() }, "0c000000030700000000000000026e6f"),
            (Frame::Message { method: 9, body }, "0c000000040000000000000000096162"),
            (Frame::Ping, "09000000050000000000000000"),
        ] {
            assert_eq!(hex(&frame.encode()), golden);
            assert_eq!(all(&frame.encode(), 100), Ok(vec![frame]));
        }
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        assert_eq!(all(&[0xff; 20], 1000), Err(FrameError::TooLong { length: u32::MAX as usize, limit: 1000 }));
        assert_eq!(all(&[1, 0, 0, 0, 1], 1000), Err(FrameError::Short));
        let mut unknown = Frame::Ping.encode().to_vec();
        unknown[4] = 77;
        assert_eq!(all(&unknown, 1000), Err(FrameError::Unknown(77)));
        let mut without_method = Frame::Ping.encode().to_vec();
        without_method[4] = REQUEST;
        assert_eq!(all(&without_method, 1000), Err(FrameError::Short));
    }

    proptest! {
        #[test]
        fn frames_arrive_whole_however_the_bytes_are_cut(
            bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 1..20),
            cut in 1usize..40,
        ) {
            let frames: Vec<Frame> = bodies
                .into_iter()
                .zip(0u64..)
                .map(|(body, id)| Frame::Request { id, method: 1, body: body.into() })
                .collect();
            let bytes: Vec<u8> = frames.iter().flat_map(|frame| frame.encode().to_vec()).collect();
            let mut buffer = BytesMut::new();
            let mut arrived = Vec::new();
            for piece in bytes.chunks(cut) {
                buffer.extend_from_slice(piece);
                while let Some(frame) = Frame::take(&mut buffer, 1000).expect("frames") {
                    arrived.push(frame);
                }
            }
            prop_assert_eq!(arrived, frames);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = all(&bytes, 100);
        }
    }
}
