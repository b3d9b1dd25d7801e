//! What answers at an address when it is no node, in words: what gRPC says of it helps nobody. It is asked only after a
//! call has failed in a way that no node's answer does.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const LIMIT: Duration = Duration::from_secs(2);
/// A node that has just ended is gone by then, and what hangs up by habit is not.
const SECOND_LOOK: Duration = Duration::from_millis(300);
/// What a client of HTTP/2 says first: its preface, and SETTINGS without any.
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// A server of HTTP/2 begins with a frame of this type.
const SETTINGS: u8 = 4;
const FRAME_HEADER_BYTES: usize = 9;

/// The words of rustls for a server that knows its callers by their certificates, as nodes know each other.
const CERTIFICATE_WANTED: &str = "CertificateRequired";

/// What answers, and is no node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Foreign {
    /// It says this, which no node does.
    Speaks(&'static str),
    /// It says nothing. So does what stands before a node that is gone, and a node that has too many callers.
    Silent,
}

impl Foreign {
    pub(crate) fn why(self) -> &'static str {
        match self {
            Self::Speaks(why) => why,
            Self::Silent => "it hangs up",
        }
    }
}

/// Why what answers there can be no node; `None`: it may be one. `message` is that of the failed call, `by_tls` how it was made.
pub(crate) async fn foreign(authority: &str, message: &str, by_tls: bool) -> Option<Foreign> {
    if is_http_without_grpc(message) {
        return Some(Foreign::Speaks("it speaks HTTP/2, and no gRPC"));
    }
    if message.contains(CERTIFICATE_WANTED) {
        return Some(Foreign::Speaks("it wants a certificate of its callers, as the port for peers does"));
    }
    let mut words = first_words(authority).await?;
    if words.is_empty() {
        tokio::time::sleep(SECOND_LOOK).await;
        words = first_words(authority).await?;
    }
    language(&words, by_tls)
}

/// The words of tonic for an answer that has no `grpc-status`, or a body that is no gRPC message.
fn is_http_without_grpc(message: &str) -> bool {
    let told = ["grpc-status header missing", "invalid compression flag", "Missing response message"];
    told.iter().any(|words| message.contains(words))
}

/// The beginning of what it says; empty: it hangs up. `None`: nobody is there, or says nothing.
async fn first_words(authority: &str) -> Option<Vec<u8>> {
    tokio::time::timeout(LIMIT, greet(authority)).await.ok()?.ok()
}

async fn greet(authority: &str) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(authority).await?;
    let mut words = Vec::new();
    if stream.write_all(HELLO).await.is_ok() {
        let mut beginning = (&mut stream).take(FRAME_HEADER_BYTES as u64);
        // A reset after some words, or instead of any, is a way to hang up.
        let _ = beginning.read_to_end(&mut words).await;
    }
    Ok(words)
}

fn language(words: &[u8], by_tls: bool) -> Option<Foreign> {
    match words {
        [] => Some(Foreign::Silent),
        [b'H', b'T', b'T', b'P', b'/', ..] => Some(Foreign::Speaks("it speaks HTTP/1")),
        // A record of TLS: its type, then the version's first half. A node that is reached by TLS does so, too.
        [0x15 | 0x16, 3, ..] => (!by_tls).then_some(Foreign::Speaks("it speaks TLS")),
        [_, _, _, SETTINGS, _, 0, 0, 0, 0] => None,
        _ => Some(Foreign::Speaks("it does not speak HTTP/2")),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn only_who_begins_with_settings_may_be_a_node() {
        assert_eq!(language(&[0, 0, 24, SETTINGS, 0, 0, 0, 0, 0], false), None);
        for (words, why) in [
            (&b""[..], "hangs up"),
            (b"HTTP/1.1 ", "HTTP/1"),
            (b"\x15\x03\x03\0\x02\x02\x46", "TLS"),
            (b"220 smtp ", "not speak HTTP/2"),
            (b"\0\0\x18\x04", "not speak HTTP/2"),
        ] {
            assert!(language(words, false).is_some_and(|found| found.why().contains(why)), "{words:?}");
        }
        assert_eq!(language(b"\x15\x03\x03\0\x02\x02\x46", true), None, "a node with a certificate answers so");
    }

    #[tokio::test]
    async fn it_is_asked_what_it_is() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let server = tokio::spawn(async move {
            for answer in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"", b""] {
                let (mut stream, _) = listener.accept().await.expect("a caller");
                let mut heard = [0; HELLO.len()];
                stream.read_exact(&mut heard).await.expect("a hello");
                stream.write_all(answer).await.expect("said");
            }
        });
        let http = foreign(&address, "h2 protocol error: http2 error", false).await;
        assert_eq!(http, Some(Foreign::Speaks("it speaks HTTP/1")));
        assert_eq!(foreign(&address, "transport error", false).await, Some(Foreign::Silent), "twice");
        server.await.expect("it was asked three times");
        assert_eq!(foreign(&address, "transport error", false).await, None, "nobody is there any more");
        let flag = "protocol error: received message with invalid compression flag: 60";
        assert!(foreign(&address, flag, false).await.is_some_and(|found| found.why().contains("no gRPC")));
        let alert = "transport error: received fatal alert: CertificateRequired";
        assert!(foreign(&address, alert, true).await.is_some_and(|found| found.why().contains("the port for peers")));
    }
}
