//! A collector on loopback: takes spans by OTLP over HTTP as a real one does, and keeps them to be looked at.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

/// How a collector answers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Manner {
    Takes,
    Rejects(i64),
    Refuses,
    Redirects,
    NeverAnswers,
}

/// One request, with its body decoded.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
    pub(crate) batch: ExportTraceServiceRequest,
}

#[derive(Debug)]
pub(crate) struct Collector {
    pub(crate) endpoint: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Collector {
    pub(crate) fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&requests);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let kept = Arc::clone(&kept);
                std::thread::spawn(move || serve(&connection, manner, &kept));
            }
        });
        Self { endpoint, requests }
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("unbroken").clone()
    }

    pub(crate) fn spans(&self) -> Vec<Span> {
        let batches = self.requests().into_iter().flat_map(|request| request.batch.resource_spans);
        batches.flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans).collect()
    }

    #[track_caller]
    pub(crate) fn span(&self, name: &str) -> Span {
        let spans = self.spans();
        let names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
        spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no span {name} in {names:?}")).clone()
    }

    /// What the resource of the first batch says.
    pub(crate) fn resource(&self) -> BTreeMap<String, String> {
        let requests = self.requests();
        let resource = requests.first().and_then(|request| request.batch.resource_spans.first());
        attributes(&resource.and_then(|spans| spans.resource.clone()).unwrap_or_default().attributes)
    }
}

/// Attributes with their values as text.
pub(crate) fn attributes(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    attributes.iter().map(|attribute| (attribute.key.clone(), text(attribute.value.as_ref()))).collect()
}

fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        Some(Value::BoolValue(yes)) => yes.to_string(),
        other => format!("{other:?}"),
    }
}

fn serve(connection: &TcpStream, manner: Manner, kept: &Mutex<Vec<Request>>) {
    let mut reader = BufReader::new(connection);
    while let Some(request) = read(&mut reader) {
        kept.lock().expect("unbroken").push(request);
        let (status, body) = match manner {
            Manner::Takes => ("200 OK", ExportTraceServiceResponse::default()),
            Manner::Rejects(rejected_spans) => {
                let partial = ExportTracePartialSuccess { rejected_spans, error_message: "too old".to_owned() };
                ("200 OK", ExportTraceServiceResponse { partial_success: Some(partial) })
            }
            Manner::Refuses => ("400 Bad Request", ExportTraceServiceResponse::default()),
            Manner::Redirects => {
                ("307 Temporary Redirect\r\nLocation: /elsewhere", ExportTraceServiceResponse::default())
            }
            Manner::NeverAnswers => {
                std::thread::park();
                return;
            }
        };
        let body = body.encode_to_vec();
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/x-protobuf\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let mut writer = connection;
        if writer.write_all(head.as_bytes()).and_then(|()| writer.write_all(&body)).is_err() {
            return;
        }
    }
}

fn read(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    let batch = ExportTraceServiceRequest::decode(body.as_slice()).expect("a batch of spans");
    Some(Request { path, headers, body, batch })
}
