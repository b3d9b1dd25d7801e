//! The requests to the collector.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, Response};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;

use super::delivery::Delivery;
use crate::error::chain;
use crate::redaction::redact;
use crate::settings::TraceSettings;

/// More than this nobody has to say about spans.
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Posts batches with our own headers. The SDK would read the same variables once more, and not as JSON.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::blocking::Client,
    headers: HeaderMap,
    delivery: Arc<Delivery>,
}

impl Client {
    pub(super) fn new(settings: &TraceSettings, delivery: Arc<Delivery>) -> Result<Self, String> {
        let timeout = settings.timeout;
        // It has a runtime of its own, which must not begin inside another.
        let building = std::thread::spawn(move || {
            reqwest::blocking::Client::builder()
                .timeout(timeout)
                .connect_timeout(timeout.min(CONNECT_MAX))
                // The headers are for this collector and nobody else.
                .redirect(reqwest::redirect::Policy::none())
                .build()
        });
        let http = match building.join() {
            Ok(Ok(http)) => http,
            Ok(Err(error)) => return Err(told(&error)),
            Err(_) => return Err("the HTTP client could not be made".to_owned()),
        };
        let mut headers = settings.headers.map().clone();
        let agent = HeaderValue::from_static(concat!("dspex/", env!("CARGO_PKG_VERSION")));
        headers.entry(USER_AGENT).or_insert(agent);
        Ok(Self { http, headers, delivery })
    }

    fn post(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, body) = request.into_parts();
        let mut headers = self.headers.clone();
        for name in [CONTENT_TYPE, CONTENT_ENCODING] {
            if let Some(value) = parts.headers.get(&name) {
                headers.insert(name, value.clone());
            }
        }
        let answer = self.http.post(parts.uri.to_string()).headers(headers).body(body).send()?;
        let status = answer.status();
        let mut response = Response::builder().status(status);
        if let Some(told) = response.headers_mut() {
            *told = answer.headers().clone();
        }
        let mut body = Vec::new();
        answer.take(ANSWER_BYTES_MAX).read_to_end(&mut body)?;
        if status.is_success() {
            self.look_for_rejected(&body);
        } else {
            self.delivery.failed_of(format!("it answered {status}"));
        }
        Ok(response.body(Bytes::from(body))?)
    }

    fn look_for_rejected(&self, body: &[u8]) {
        let partial = ExportTraceServiceResponse::decode(body).ok().and_then(|answer| answer.partial_success);
        if let Some(partial) = partial
            && let Ok(spans @ 1..) = usize::try_from(partial.rejected_spans)
        {
            self.delivery.rejected(spans, &format!("the collector says: {}", redact(&partial.error_message)));
        }
    }
}

#[async_trait]
impl HttpClient for Client {
    /// Blocks: spans have a thread of their own.
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        self.post(request).inspect_err(|error| {
            self.delivery.failed_of(told(error.as_ref()));
        })
    }
}

/// An error with its causes, without secrets.
fn told(error: &(dyn std::error::Error + 'static)) -> String {
    redact(&chain(error)).into_owned()
}
