//! As much of HTTP/2 as a stranger needs, in bytes: what a client library would never say can be said, and silence kept.

use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use super::LIMIT;
use super::wire::{Line, say};

/// What a client says first.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
const ACKNOWLEDGES: u8 = 1;

/// A call that every token may make.
const CHECK: &str = "/grpc.health.v1.Health/Check";
/// A message of gRPC without any bytes: not compressed, length 0.
const EMPTY: [u8; 5] = [0; 5];

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The preface, and settings without any.
pub fn opening() -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()
}

/// Header fields as they are, without a table and without Huffman.
pub fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            let length = u8::try_from(text.len()).ok().filter(|length| *length < 127);
            bytes.push(length.expect("a longer length takes more than a byte"));
            bytes.extend(text.as_bytes());
        }
    }
    bytes
}

/// The beginning of a call.
pub fn call(token: Option<&str>) -> Vec<u8> {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let mut all = vec![
        (":method", "POST"),
        (":scheme", "http"),
        (":path", CHECK),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    all.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
    fields(&all)
}

/// A whole connection up to its first call, which shows this token.
pub fn asking(token: &str) -> Vec<u8> {
    let headers = frame(HEADERS, END_HEADERS, 1, &call(Some(token)));
    [opening(), headers, frame(DATA, END_STREAM, 1, &EMPTY)].concat()
}

/// Waits until the first call has been answered to its end.
pub async fn is_answered(line: &mut Line) {
    until(line, |kind, flags, stream| (kind, stream) == (HEADERS, 1) && flags & END_STREAM != 0).await;
}

/// Whether the other end is there, and the connection open.
pub async fn is_alive(line: &mut Line) {
    say(line, &frame(PING, 0, 0, &[7; 8])).await;
    until(line, |kind, flags, _| kind == PING && flags & ACKNOWLEDGES != 0).await;
}

async fn until(line: &mut Line, is_it: impl Fn(u8, u8, u32) -> bool) {
    let read = async {
        loop {
            let mut head = [0; 9];
            line.read_exact(&mut head).await.expect("the connection is open");
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; usize::try_from(length).expect("small")];
            line.read_exact(&mut payload).await.expect("a whole frame");
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            if is_it(head[3], head[4], stream) {
                return;
            }
        }
    };
    timeout(LIMIT, read).await.expect("the frame that is waited for");
}
