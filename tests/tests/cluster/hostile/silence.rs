//! Connections on which nothing is said, or too little: they are closed, and keep nobody out. Who has shown a token stays.

use std::cell::Cell;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::http2::{self, PREFACE};
use super::wire::{Line, end, plain, say};
use super::{Attacked, LIMIT, Memory, OPEN, PROTECTED, block_on};

/// Silent connections at each port.
const SILENT: usize = 200;
/// Of those that speak TLS and then nothing, at each port with TLS.
const SILENT_AFTER_TLS: usize = 40;
/// Between two writes meanwhile, and between two bytes of those who dawdle.
const PACE: Duration = Duration::from_millis(100);
const DRIP: Duration = Duration::from_secs(1);
/// Writes that succeed meanwhile, at the least: it takes seconds until the last one has been shown out.
const WRITES_LEAST: usize = 10;

// Taken away by `MOMENT` or `Stranger::is_waited_for` (node/src/server/incoming/strangers.rs) at the ports of callers, and by
// `limits.handshake` in `listener::receive` (node/transport) at that of peers: connections stay open. By a queue instead of
// `Handshakes::begin` there: some are closed too late. By `Standing::let_in` in `Guarded::call` (node/src/server/access.rs): those who
// may stay are shown out, too. That strangers are few: `memory.rs`.
#[test]
fn who_says_nothing_or_too_little_is_shown_out_in_ten_seconds_and_keeps_nobody_out() {
    let attacked = Attacked::new();
    let memory = [PROTECTED, OPEN].map(|position| (position, Memory::of(&attacked.cluster, position)));
    block_on(async {
        let known = Known::come(&attacked).await;
        let strangers = strangers(&attacked).await;
        let (all_left, writes) = (Cell::new(false), Cell::new(0));
        let leave = async {
            strangers.join_all().await;
            all_left.set(true);
        };
        let write = async {
            while !all_left.get() {
                for position in 0..3 {
                    attacked.write(position, &format!("during-{}", writes.get())).await;
                    writes.set(writes.get() + 1);
                }
                sleep(PACE).await;
            }
        };
        tokio::join!(leave, write);
        assert!(writes.get() >= WRITES_LEAST, "{} writes", writes.get());
        known.are_still_here().await;
    });
    for (position, memory) in memory {
        memory.expect_little(&format!("silence at node {position}"));
    }
}

/// Those who are there now, until they are shown out.
async fn strangers(attacked: &Attacked) -> JoinSet<()> {
    let (protected, open) = (attacked.cluster.node(PROTECTED), attacked.cluster.node(OPEN));
    let mut strangers = JoinSet::new();
    let ports = [
        ("peers", protected.peers),
        ("gRPC with TLS", protected.api),
        ("HTTP with TLS", protected.http),
        ("gRPC", open.api),
        ("HTTP", open.http),
    ];
    for _ in 0..SILENT {
        for (what, port) in ports {
            strangers.spawn(leaves(what, plain(port).await));
        }
    }
    let (peer, grpc, pages) = (attacked.peer(), attacked.caller("h2"), attacked.caller("http/1.1"));
    for _ in 0..SILENT_AFTER_TLS {
        for (what, tls, port) in [
            ("peers, after the handshake", &peer, protected.peers),
            ("gRPC, after the handshake", &grpc, protected.api),
            ("HTTP, after the handshake", &pages, protected.http),
        ] {
            // One that is shown out before it is through is shown out.
            if let Ok(line) = tls.connect(port).await {
                strangers.spawn(leaves(what, line));
            }
        }
    }
    for (what, words, drip) in dawdling_in_http2() {
        strangers.spawn(dawdles(what, plain(open.api).await, words.clone(), drip.clone()));
        if let Ok(line) = grpc.connect(protected.api).await {
            strangers.spawn(dawdles(what, line, words, drip));
        }
    }
    for (what, words, drip) in dawdling_in_pages() {
        strangers.spawn(dawdles(what, plain(open.http).await, words.clone(), drip.clone()));
        if let Ok(line) = pages.connect(protected.http).await {
            strangers.spawn(dawdles(what, line, words, drip));
        }
    }
    strangers
}

/// How a page begins.
const OK: &[u8] = b"HTTP/1.1 200";

/// A name, what is said at once, and what is said every second.
type Dawdling = (&'static str, Vec<u8>, Vec<u8>);

fn dawdling_in_http2() -> [Dawdling; 4] {
    let ping = http2::frame(http2::PING, 0, 0, &[7; 8]);
    [
        ("half a preface", PREFACE[..9].to_vec(), Vec::new()),
        ("a preface and no call", http2::opening(), Vec::new()),
        ("pings and no call", http2::opening(), ping),
        ("calls with a wrong token only", http2::asking("wrong"), Vec::new()),
    ]
}

fn dawdling_in_pages() -> [Dawdling; 4] {
    let slowly = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-Slow: ".to_vec();
    let probe = b"GET /healthz/live HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec();
    [
        ("one byte of a header a second", slowly, b"x".to_vec()),
        ("half a preface of HTTP/2", PREFACE[..9].to_vec(), Vec::new()),
        ("a probe, and silence", probe, Vec::new()),
        ("HTTP/2 and no request", http2::opening(), Vec::new()),
    ]
}

async fn leaves(what: &'static str, mut line: Line) {
    end(what, &mut line, Instant::now()).await;
}

async fn dawdles(what: &'static str, mut line: Line, words: Vec<u8>, drip: Vec<u8>) {
    let began = Instant::now();
    say(&mut line, &words).await;
    let mut buffer = [0; 1024];
    while began.elapsed() < LIMIT {
        match timeout(DRIP, line.read(&mut buffer)).await {
            Ok(Ok(0) | Err(_)) => return,
            Ok(Ok(_)) => {}
            Err(_) => say(&mut line, &drip).await,
        }
    }
    panic!("{what}: the connection is open after {LIMIT:?}");
}

/// The controls: callers who have shown a token and say nothing more.
struct Known {
    calls: Vec<Line>,
    pages: Vec<(Line, String)>,
}

impl Known {
    async fn come(attacked: &Attacked) -> Self {
        let (protected, open) = (attacked.cluster.node(PROTECTED), attacked.cluster.node(OPEN));
        let by_tls = "the authority is right";
        let (grpc, pages) = (attacked.caller("h2"), attacked.caller("http/1.1"));
        let (protected_token, open_token) = (attacked.token(PROTECTED), attacked.token(OPEN));
        let mut known = Self { calls: Vec::new(), pages: Vec::new() };
        for (mut line, token) in
            [(plain(open.api).await, &open_token), (grpc.connect(protected.api).await.expect(by_tls), &protected_token)]
        {
            say(&mut line, &http2::asking(token)).await;
            http2::is_answered(&mut line).await;
            known.calls.push(line);
        }
        for (mut line, token) in [
            (plain(open.http).await, open_token),
            (pages.connect(protected.http).await.expect(by_tls), protected_token),
        ] {
            say(&mut line, &metrics(&token, "keep-alive")).await;
            let mut said = [0; OK.len()];
            timeout(LIMIT, line.read_exact(&mut said)).await.expect("a page").expect("the connection is open");
            assert_eq!(said, OK);
            known.pages.push((line, token));
        }
        known
    }

    async fn are_still_here(mut self) {
        for line in &mut self.calls {
            http2::is_alive(line).await;
        }
        for (line, token) in &mut self.pages {
            say(line, &metrics(token, "close")).await;
            let said = end("a page", line, Instant::now()).await;
            assert!(said.windows(OK.len()).any(|words| words == OK), "another page, and on the same connection");
        }
    }
}

/// A page that only a token opens, and what becomes of the connection after it.
fn metrics(token: &str, then: &str) -> Vec<u8> {
    format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: {then}\r\nAuthorization: Bearer {token}\r\n\r\n")
        .into_bytes()
}
