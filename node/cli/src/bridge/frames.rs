//! Frames: a little-endian length, then `[kind, body]` in msgpack.

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;

use super::answers::Body;
use super::messages::{Cancel, Failed, Hello, Named, Part, Request};

const FRAME_BYTES_MAX: usize = 32 << 20;
/// msgpack's marker for an array of two.
const ARRAY_OF_TWO: u8 = 0x92;
/// Frames are gathered up to this size before they are written.
const WRITE_BYTES: usize = 256 << 10;

/// What the program says.
pub(super) enum Incoming {
    Hello(Hello),
    Request(Box<Request>),
    /// It asks for what this program does not know: the program is newer.
    Unknown(Named),
    Cancel(Cancel),
    Part(Part),
}

/// What it is told.
#[derive(Debug)]
pub(super) enum Outgoing {
    Hello { protocol: u32, version: &'static str },
    Answer { id: u64, body: Body },
    Item { id: u64, body: Body },
    Error(Failed),
}

pub(super) struct Frames {
    source: BufReader<OwnedReadHalf>,
}

impl Frames {
    pub(super) fn new(source: OwnedReadHalf) -> Self {
        Self { source: BufReader::with_capacity(WRITE_BYTES, source) }
    }

    /// The next frame; `None` when the program has gone.
    pub(super) async fn next(&mut self) -> Result<Option<Incoming>, String> {
        let mut prefix = [0; 4];
        match self.source.read_exact(&mut prefix).await {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
            Err(error) => return Err(error.to_string()),
            Ok(_) => {}
        }
        let length = u32::from_le_bytes(prefix) as usize;
        if length > FRAME_BYTES_MAX {
            return Err(format!("a frame of {length} bytes is longer than the limit of {FRAME_BYTES_MAX}"));
        }
        let mut frame = Vec::new();
        let read = (&mut self.source).take(length as u64).read_to_end(&mut frame).await;
        if read.map_err(|error| error.to_string())? < length {
            return Ok(None);
        }
        decode(&frame).map(Some)
    }
}

fn decode(frame: &[u8]) -> Result<Incoming, String> {
    match frame {
        [ARRAY_OF_TWO, 1, body @ ..] => read(body).map(Incoming::Hello),
        [ARRAY_OF_TWO, 2, body @ ..] => request(body),
        [ARRAY_OF_TWO, 3, body @ ..] => read(body).map(Incoming::Cancel),
        [ARRAY_OF_TWO, 4, body @ ..] => read(body).map(Incoming::Part),
        [ARRAY_OF_TWO, kind, ..] => Err(format!("unknown kind of frame: {kind}")),
        _ => Err("malformed frame: not an array of kind and body".to_owned()),
    }
}

/// A method that nobody knows is no broken frame: only this request fails.
fn request(body: &[u8]) -> Result<Incoming, String> {
    let why = match read(body) {
        Ok(request) => return Ok(Incoming::Request(Box::new(request))),
        Err(why) => why,
    };
    match read::<Named>(body) {
        Ok(named) if why.contains(&format!("unknown variant `{}`", named.method)) => Ok(Incoming::Unknown(named)),
        _ => Err(why),
    }
}

/// A msgpack value of a known type.
pub(super) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    rmp_serde::from_slice(bytes).map_err(|error| format!("malformed frame: {error}"))
}

#[derive(Serialize)]
struct HelloBody<'a> {
    protocol: u32,
    version: &'a str,
}

#[derive(Serialize)]
struct With<'a> {
    id: u64,
    body: &'a Body,
}

fn encode(outgoing: &Outgoing, buffer: &mut Vec<u8>) -> Result<(), rmp_serde::encode::Error> {
    let start = buffer.len();
    let kind = match outgoing {
        Outgoing::Hello { .. } => 16,
        Outgoing::Answer { .. } => 17,
        Outgoing::Item { .. } => 18,
        Outgoing::Error(_) => 19,
    };
    buffer.extend_from_slice(&[0, 0, 0, 0, ARRAY_OF_TWO, kind]);
    let mut serializer = rmp_serde::Serializer::new(&mut *buffer).with_struct_map();
    match outgoing {
        Outgoing::Hello { protocol, version } => {
            HelloBody { protocol: *protocol, version }.serialize(&mut serializer)?;
        }
        Outgoing::Answer { id, body } | Outgoing::Item { id, body } => {
            With { id: *id, body }.serialize(&mut serializer)?;
        }
        Outgoing::Error(failed) => failed.serialize(&mut serializer)?,
    }
    let length = u32::try_from(buffer.len() - start - 4).unwrap_or(u32::MAX);
    buffer[start..start + 4].copy_from_slice(&length.to_le_bytes());
    Ok(())
}

/// Writes what is to be said, as much at once as there is.
pub(super) async fn write(mut socket: OwnedWriteHalf, mut outgoing: mpsc::Receiver<Outgoing>) {
    let mut buffer = Vec::new();
    while let Some(first) = outgoing.recv().await {
        buffer.clear();
        let mut next = Some(first);
        while let Some(message) = next.take() {
            if let Err(error) = encode(&message, &mut buffer) {
                eprintln!("dspex client: an answer has no form: {error}");
                return;
            }
            if buffer.len() < WRITE_BYTES {
                next = outgoing.try_recv().ok();
            }
        }
        if socket.write_all(&buffer).await.is_err() {
            // The program is gone; the reading side sees the same end.
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::bridge::messages::Method;

    fn decoded(request: &Value) -> Result<Incoming, String> {
        let body = rmp_serde::to_vec_named(request).expect("encodes");
        decode(&[&[ARRAY_OF_TWO, 2][..], &body[..]].concat())
    }

    #[test]
    fn a_method_that_nobody_knows_is_told_from_a_frame_that_is_broken() {
        let known = decoded(&json!({"id": 1, "method": "runs.get", "body": {"run_id": "r"}})).expect("known");
        assert!(matches!(known, Incoming::Request(request) if matches!(request.method, Method::GetRun(_))));
        let newer = decoded(&json!({"id": 7, "method": "moon.land", "body": {"crew": [1, 2]}})).expect("a request");
        assert!(matches!(newer, Incoming::Unknown(named) if (named.id, &named.method[..]) == (7, "moon.land")));
        for broken in [
            json!({"id": 1, "method": "runs.get", "body": {}}),
            json!({"method": "moon.land", "body": {}}),
            json!({"id": 1, "body": {}}),
            json!([1, "moon.land"]),
        ] {
            let told = decoded(&broken).err().unwrap_or_else(|| panic!("{broken}"));
            assert!(told.contains("malformed frame"), "{told}");
        }
    }
}
