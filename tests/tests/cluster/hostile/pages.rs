//! A browser with a page of another site: what it can ask of a node's ports, and under which names.

use std::fs;
use std::future::poll_fn;

use tokio::time::{Instant, timeout};
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

use super::wire::{Line, end, page, plain, say};
use super::{Attacked, LIMIT, OPEN, PROTECTED, block_on};

/// What gRPC says it is.
pub const GRPC: (&str, &str) = ("content-type", "application/grpc");
const GRPC_WEB: (&str, &str) = ("content-type", "application/grpc-web+proto");
const EVIL: &str = "https://evil.example";
const PATH: &str = "/dspex.v1.Sessions/List";
/// What lets a browser show an answer to a page of another site.
const ALLOWS: &str = "access-control-allow-origin";

// Taken away by `is_a_page && !self.names.admit(...)` of `judge` (node/src/server/access.rs), or in `Names::admit` by its judgement of
// the origin or of the host.
#[test]
fn a_page_of_another_site_gets_nothing_and_neither_does_another_name_for_the_node() {
    let attacked = Attacked::new();
    for position in [PROTECTED, OPEN] {
        let bearer = format!("Bearer {}", attacked.token(position));
        block_on(async {
            pages_are_refused(&attacked, position, &bearer).await;
            calls_are_refused(&attacked, position, &bearer).await;
        });
    }
    // A browser speaks HTTP/2 with TLS only; without, it does not even get an answer.
    block_on(async {
        let mut line = plain(attacked.cluster.node(OPEN).api).await;
        say(&mut line, b"POST /dspex.v1.Sessions/List HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        let said = end("HTTP/1 at the port of gRPC", &mut line, Instant::now()).await;
        assert!(!String::from_utf8_lossy(&said).contains("HTTP/1.1 2"), "{said:?}");
    });
}

async fn pages_are_refused(attacked: &Attacked, position: usize, bearer: &str) {
    let port = attacked.cluster.node(position).http;
    let open = async || -> Line {
        if position == OPEN {
            return plain(port).await;
        }
        attacked.caller("http/1.1").connect(port).await.expect("the authority is right")
    };
    let own = format!("localhost:{port}");
    let (host, token) = (("Host", own.as_str()), ("Authorization", bearer));
    let preflight = ("Access-Control-Request-Method", "GET");
    for (first, headers) in [
        ("GET /metrics", vec![host, token, ("Origin", EVIL)]),
        ("GET /metrics", vec![host, token, ("Origin", "null")]),
        ("GET /healthz/live", vec![host, ("Origin", EVIL)]),
        ("OPTIONS /metrics", vec![host, ("Origin", EVIL), preflight]),
        ("POST /metrics", vec![host, token, ("Origin", EVIL), ("Content-Length", "0")]),
        // A name of another site that leads here: its page would be of the same origin.
        ("GET /metrics", vec![("Host", "evil.example"), token]),
        ("GET /metrics", vec![("Host", "evil.example:80"), token, ("Origin", "http://evil.example:80")]),
        ("GET /healthz/live", vec![("Host", "localhost.evil.example")]),
    ] {
        let (code, said) = page(open().await, first, &headers).await;
        assert_eq!(code, 403, "node {position}, {first}, {headers:?}: {said}");
        assert!(!said.to_ascii_lowercase().contains(ALLOWS), "{said}");
    }
    // The controls: no page at all, and one of the node's own.
    let origin = format!("http://{own}");
    assert_eq!(page(open().await, "GET /metrics", &[host, token]).await.0, 200);
    assert_eq!(page(open().await, "GET /metrics", &[host, token, ("Origin", &origin)]).await.0, 200);
    assert_eq!(page(open().await, "GET /healthz/live", &[host]).await.0, 200);
}

async fn calls_are_refused(attacked: &Attacked, position: usize, bearer: &str) {
    let token = ("authorization", bearer);
    let mut browser = Browser::new(attacked, position, None).await;
    let preflight = ("access-control-request-headers", "authorization,content-type");
    for (method, headers) in [
        ("POST", vec![GRPC, token, ("origin", EVIL)]),
        ("POST", vec![GRPC_WEB, token, ("origin", EVIL)]),
        ("POST", vec![("content-type", "text/plain"), token, ("origin", "null")]),
        ("GET", vec![token, ("origin", EVIL)]),
        ("OPTIONS", vec![("origin", EVIL), ("access-control-request-method", "POST"), preflight]),
    ] {
        let answer = browser.asks(method, PATH, &headers).await;
        assert_eq!((answer.code, answer.is_allowed), (403, false), "node {position}, {method}, {headers:?}");
        assert_eq!(answer.grpc, None, "node {position}, {method}, {headers:?}");
    }
    let mut elsewhere = Browser::new(attacked, position, Some("http://evil.example:7400")).await;
    let rebound = [GRPC, token, ("origin", "http://evil.example:7400")];
    assert_eq!(elsewhere.asks("POST", PATH, &rebound).await.code, 403, "node {position}");
    // The controls: a program, through a tunnel as well, and a page of the node's own.
    let own = format!("http://localhost:{}", attacked.cluster.node(position).api);
    assert_eq!(browser.asks("POST", PATH, &[GRPC, token]).await.code, 200);
    assert_eq!(elsewhere.asks("POST", PATH, &[GRPC, token]).await.code, 200);
    assert_eq!(browser.asks("POST", PATH, &[GRPC, token, ("origin", &own)]).await.code, 200);
}

/// Speaks HTTP/2 with the port of gRPC, and says what it likes.
pub struct Browser(Channel);

/// What it hears.
pub struct Answer {
    pub code: u16,
    /// The status of gRPC, where the answer has no more than one.
    pub grpc: Option<String>,
    /// Whether a page of another site may see it.
    pub is_allowed: bool,
}

impl Browser {
    /// At a node, under the name of another place if one is given.
    pub async fn new(attacked: &Attacked, position: usize, origin: Option<&'static str>) -> Self {
        let (scheme, port) = (if position == OPEN { "http" } else { "https" }, attacked.cluster.node(position).api);
        let mut endpoint = Endpoint::from_shared(format!("{scheme}://127.0.0.1:{port}")).expect("an address");
        if position != OPEN {
            let ca = Certificate::from_pem(fs::read(attacked.ca()).expect("readable"));
            endpoint = endpoint.tls_config(ClientTlsConfig::new().ca_certificate(ca)).expect("TLS");
        }
        if let Some(origin) = origin {
            endpoint = endpoint.origin(http::Uri::from_static(origin));
        }
        Self(timeout(LIMIT, endpoint.connect()).await.expect("in time").expect("connected"))
    }

    /// Asks for this.
    pub async fn asks(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = http::Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).expect("a request");
        let answer = async {
            poll_fn(|context| self.0.poll_ready(context)).await?;
            self.0.call(request).await
        };
        let answer = timeout(LIMIT, answer).await.expect("in time").expect("an answer");
        let status = answer.headers().get("grpc-status").and_then(|status| status.to_str().ok());
        Answer {
            code: answer.status().as_u16(),
            grpc: status.map(str::to_owned),
            is_allowed: answer.headers().contains_key(ALLOWS),
        }
    }
}
