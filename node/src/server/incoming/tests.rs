//! Real handshakes between the server's side and the client's, each of which knows nothing of the other's library.

use std::path::Path;

use axum::body::Body;
use axum::http::Request;
use dspex_api::{Address, Ca, Client, Credentials, TimeLimits, Token, reason};
use dspex_transport::Authority;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tonic::service::Routes;
use tonic::transport::Server;

use super::strangers::{MOMENT, STRANGERS_MAX};
use super::*;

/// For a connection to be closed, on a machine that does something else as well.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server of gRPC behind a door.
struct Listening {
    port: u16,
    task: AbortHandle,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Listening {
    async fn start(tls: Option<ServerTls>, language: Language) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (_, health) = tonic_health::server::health_reporter();
        let incoming = Door::new(listener, tls, language).open(std::future::pending());
        let serving = Server::builder().add_routes(Routes::new(health)).serve_with_incoming(incoming);
        Self { port, task: tokio::spawn(serving).abort_handle() }
    }

    /// Connects under this name, and tells the reason and the message where that fails.
    async fn connect(&self, place: &str, ca: Option<&Authority>) -> Result<Client, (String, String)> {
        let address: Address = format!("{place}:{}", self.port).parse().expect("an address");
        let ca = ca.map(|authority| Ca::new(authority.certificate().as_bytes()).expect("a certificate"));
        let credentials = Credentials { token: Token::default(), ca };
        let connected = Client::connect(address, credentials, TimeLimits::default()).await;
        connected.map_err(|error| (error.reason.into_owned(), error.message))
    }

    async fn refused(&self, place: &str, ca: Option<&Authority>) -> (String, String) {
        self.connect(place, ca).await.expect_err("refused")
    }
}

fn authority() -> Authority {
    // All are called the same: a client must not tell them apart by their names.
    Authority::create("dspex").expect("an authority")
}

fn certified(directory: &Path, authority: &Authority, host: &str, days: u32) -> Result<ServerTls, String> {
    authority.sign("n", &[host.to_owned()], days, None).expect("signed").renew(directory).expect("written");
    ServerTls::new(&directory.join("node.pem"), &directory.join("node.key")).map_err(|error| error.to_string())
}

fn usable(directory: &Path, authority: &Authority, host: &str) -> ServerTls {
    certified(directory, authority, host, 30).expect("usable")
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

#[tokio::test]
async fn a_node_is_reached_by_tls_under_its_names_by_those_who_know_its_authority() {
    let place = directory();
    let (ours, theirs) = (authority(), authority());
    let node = Listening::start(Some(usable(place.path(), &ours, "localhost")), Language::Grpc).await;
    for name in ["localhost", "https://localhost"] {
        node.connect(name, Some(&ours)).await.expect(name);
    }
    for (name, ca, said) in [
        ("localhost", Some(&theirs), "was not signed by the authority of --ca"),
        ("127.0.0.1", Some(&ours), "is not for 127.0.0.1"),
        ("127.0.0.1", None, "speaks TLS: name the certificate"),
        ("http://127.0.0.1", Some(&ours), "speaks TLS: name the certificate"),
    ] {
        let (reason, message) = node.refused(name, ca).await;
        assert!(reason == reason::TLS_REFUSED && message.contains(said), "{name}: {reason}: {message}");
    }
    let (reason, message) = node.refused("https://127.0.0.1", None).await;
    assert!(reason == reason::REQUEST_INVALID && message.contains("--ca (DSPEX_CA)"), "{message}");
}

#[tokio::test]
async fn what_does_not_speak_tls_or_no_grpc_is_told_apart() {
    let place = directory();
    let ours = authority();
    let plain = Listening::start(None, Language::Grpc).await;
    plain.connect("127.0.0.1", None).await.expect("connected");
    let (reason, message) = plain.refused("127.0.0.1", Some(&ours)).await;
    assert!(reason == reason::TLS_REFUSED && message.contains("does not speak TLS"), "{reason}: {message}");
    let pages = Listening::start(Some(usable(place.path(), &ours, "127.0.0.1")), Language::Pages).await;
    let (reason, message) = pages.refused("127.0.0.1", Some(&ours)).await;
    assert!(reason == reason::TLS_REFUSED && message.contains("but no gRPC"), "{reason}: {message}");
}

#[tokio::test]
async fn a_certificate_that_has_expired_is_told_as_such() {
    let place = directory();
    let ours = authority();
    // It lasts until the second in which it is made is over: time enough to be loaded, if not always.
    let deadline = Instant::now() + MOMENT;
    let tls = loop {
        match certified(place.path(), &ours, "127.0.0.1", 0) {
            Ok(tls) => break tls,
            Err(why) => assert!(why.contains("has expired") && Instant::now() < deadline, "{why}"),
        }
    };
    let node = Listening::start(Some(tls), Language::Grpc).await;
    sleep(Duration::from_millis(2100)).await;
    let (reason, message) = node.refused("127.0.0.1", Some(&ours)).await;
    assert!(reason == reason::TLS_REFUSED && message.contains("is not valid now"), "{reason}: {message}");
    assert!(message.contains("dspex cert init --renew"), "{message}");
}

#[tokio::test]
async fn strangers_who_say_nothing_keep_nobody_out_and_are_shown_out() {
    let place = directory();
    let ours = authority();
    let protected = Listening::start(Some(usable(place.path(), &ours, "127.0.0.1")), Language::Grpc).await;
    let plain = Listening::start(None, Language::Grpc).await;
    for (node, ca) in [(protected, Some(&ours)), (plain, None)] {
        let mut silent = Vec::new();
        for _ in 0..STRANGERS_MAX + 20 {
            silent.push(TcpStream::connect(("127.0.0.1", node.port)).await.expect("connected"));
        }
        // The client's own limit for connecting is no longer than that of a stranger.
        node.connect("127.0.0.1", ca).await.expect("connected beside them");
        for stream in silent {
            rest(stream).await;
        }
    }
}

/// Answers every request, and lets those in that are for `/in`.
async fn pages() -> Listening {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let incoming = Door::new(listener, None, Language::Pages).open(std::future::pending());
    let answer = |request: Request<Body>| async move {
        if request.uri().path() == "/in" {
            request.extensions().get::<Standing>().expect("every request has one").let_in();
        }
        "a page"
    };
    let routes = Routes::from(axum::Router::new().fallback(answer));
    let serving = Server::builder().accept_http1(true).add_routes(routes).serve_with_incoming(incoming);
    Listening { port, task: tokio::spawn(serving).abort_handle() }
}

/// What comes until the other end closes.
async fn rest(mut stream: TcpStream) -> String {
    let mut said = Vec::new();
    // However it is closed.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut said)).await.expect("it closes");
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test]
async fn who_was_let_in_may_stay_and_say_nothing_and_who_was_only_answered_may_not() {
    let node = pages().await;
    let ask = async |path: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", node.port)).await.expect("connected");
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: n\r\n\r\n").as_bytes()).await.expect("written");
        stream
    };
    let (mut known, unknown) = (ask("/in").await, ask("/out").await);
    assert!(rest(unknown).await.contains("a page"));
    // The other one came first, and would have had to leave first.
    known.write_all(b"GET /out HTTP/1.1\r\nhost: n\r\nconnection: close\r\n\r\n").await.expect("written");
    assert_eq!(rest(known).await.matches("a page").count(), 2);
}

#[tokio::test]
async fn who_says_too_much_before_a_request_is_hung_up_on() {
    let node = pages().await;
    let mut stream = TcpStream::connect(("127.0.0.1", node.port)).await.expect("connected");
    let (began, words) = (Instant::now(), vec![b'x'; 100 << 10]);
    // It may be hung up on while it speaks.
    let _ = stream.write_all(&[b"GET /in HTTP/1.1\r\nhost: n\r\nx: ", &words[..]].concat()).await;
    assert_eq!(rest(stream).await, "");
    assert!(began.elapsed() < MOMENT, "it was its time that ended");
}
