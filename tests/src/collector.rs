//! A collector of traces on loopback, as Jaeger or Phoenix would be: takes OTLP over HTTP and keeps the spans.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// A span as it was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Hex.
    pub trace: String,
    /// Hex.
    pub id: String,
    /// Hex; empty for a root.
    pub parent: String,
    /// Its name.
    pub name: String,
    /// Attributes that are texts.
    pub texts: BTreeMap<String, String>,
}

/// What was sent so far.
#[derive(Debug, Default)]
struct Kept {
    spans: Vec<Span>,
    bodies: Vec<Vec<u8>>,
    heads: Vec<String>,
}

/// A collector that listens until the test ends.
#[derive(Debug)]
pub struct Collector {
    endpoint: String,
    kept: Arc<Mutex<Kept>>,
}

impl Collector {
    /// Starts one on a free port.
    ///
    /// # Panics
    /// When there is no port.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let kept: Arc<Mutex<Kept>> = Arc::default();
        let shared = Arc::clone(&kept);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        Self { endpoint, kept }
    }

    /// For `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The spans so far.
    pub fn spans(&self) -> Vec<Span> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).spans.clone()
    }

    /// Whether any request held these bytes.
    pub fn was_sent(&self, text: &str) -> bool {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.bodies.iter().any(|body| body.windows(text.len()).any(|window| window == text.as_bytes()))
    }

    /// First lines and headers of the requests.
    pub fn heads(&self) -> Vec<String> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).heads.clone()
    }
}

fn serve(stream: TcpStream, kept: &Mutex<Kept>) {
    let Ok(mut answering) = stream.try_clone() else { return };
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap_or(0);
            }
            if line == "\r\n" {
                break;
            }
            head.push_str(&line);
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let spans = spans_of(&body);
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.spans.extend(spans);
        kept.bodies.push(body);
        kept.heads.push(head);
        drop(kept);
        if answering
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n")
            .is_err()
        {
            return;
        }
    }
}

/// ExportTraceServiceRequest: resource_spans 1, scope_spans 2, spans 2.
fn spans_of(request: &[u8]) -> Vec<Span> {
    let mut spans = Vec::new();
    for resource in messages(request, 1) {
        for scope in messages(resource, 2) {
            spans.extend(messages(scope, 2).map(span));
        }
    }
    spans
}

/// Span: trace_id 1, span_id 2, parent_span_id 4, name 5, attributes 9 (key 1, value 2 with string_value 1).
fn span(bytes: &[u8]) -> Span {
    let hex = |field| messages(bytes, field).next().map(hex).unwrap_or_default();
    let text =
        |bytes: &[u8], field| messages(bytes, field).next().map(|text| String::from_utf8_lossy(text).into_owned());
    let attribute = |bytes: &[u8]| Some((text(bytes, 1)?, text(messages(bytes, 2).next()?, 1)?));
    Span {
        trace: hex(1),
        id: hex(2),
        parent: hex(4),
        name: text(bytes, 5).unwrap_or_default(),
        texts: messages(bytes, 9).filter_map(attribute).collect(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The length-delimited fields of a protobuf message that have this number.
fn messages(mut bytes: &[u8], number: u64) -> impl Iterator<Item = &[u8]> {
    let mut found = Vec::new();
    while let Some(key) = varint(&mut bytes) {
        let taken = match key & 7 {
            0 => varint(&mut bytes).map(|_| None),
            1 => take(&mut bytes, 8).map(|_| None),
            2 => varint(&mut bytes).and_then(|length| take(&mut bytes, usize::try_from(length).ok()?)).map(Some),
            5 => take(&mut bytes, 4).map(|_| None),
            _ => None,
        };
        match taken {
            Some(Some(body)) if key >> 3 == number => found.push(body),
            Some(_) => {}
            None => break,
        }
    }
    found.into_iter()
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_taken_apart() {
        // resource_spans { scope_spans { spans { trace_id: 0xab, name: "x" } } }
        let span = [0x0a, 1, 0xab, 0x2a, 1, b'x'];
        let scope = [vec![0x12, span.len() as u8], span.to_vec()].concat();
        let resource = [vec![0x12, scope.len() as u8], scope].concat();
        let request = [vec![0x0a, resource.len() as u8], resource].concat();
        let expected = Span { trace: "ab".to_owned(), name: "x".to_owned(), ..Span::default() };
        assert_eq!(spans_of(&request), [expected]);
    }
}
