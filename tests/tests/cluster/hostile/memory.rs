//! As many bytes as somebody can send whom nobody knows: most of them are never read, and what is kept of them is little.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use dspex_tests::process;

use super::http2::{self, CONTINUATION, DATA, END_HEADERS, HEADERS};
use super::wire::{Hello, Line, Tls, end, is_welcome, page, plain, say};
use super::{Attacked, GROWTH_MAX_KIB, LIMIT, Memory, OPEN, PROTECTED, block_on};

/// What one stranger sends.
const POURED: usize = 100 << 20;
/// Strangers who come to a port one after the other, and stay: more than there are places for connections.
const CROWD: usize = 1100;
/// What each of them sends; less than what a stranger may say on HTTP, so that it is kept.
const BAGGAGE: usize = 63 << 10;

// Taken away by the bound in `Frame::take` (node/transport): a frame of 4 GiB is waited for. By the bound in `Strangers::receive`
// (node/src/server/incoming/strangers.rs) or in `Handshakes::begin` (node/transport/src/listener.rs): a crowd costs more than it may, and
// keeps others out. That a single stranger says no more than it may: `who_says_too_much_before_a_request_is_hung_up_on` beside the door.
#[test]
fn as_much_as_strangers_send_the_node_keeps_little_of_it_and_goes_on() {
    let attacked = Attacked::new();
    allow_open_files();
    let cluster = attacked.cluster.status(PROTECTED).cluster_id;
    let memory = [PROTECTED, OPEN].map(|position| (position, Memory::of(&attacked.cluster, position)));
    block_on(async {
        let hello = Hello::of(&cluster).bytes();
        pour(&attacked, &hello).await;
        crowd(&attacked, &hello).await;
        // The control: what is no longer than it may be is taken.
        let long = "x".repeat(8 << 10);
        let headers = [("Host", "localhost"), ("X-Long", long.as_str())];
        let open = attacked.cluster.node(OPEN);
        assert_eq!(page(plain(open.http).await, "GET /healthz/live", &headers).await.0, 200);
        for position in 0..3 {
            attacked.write(position, &format!("after-{position}")).await;
        }
    });
    for (position, memory) in memory {
        memory.expect_little(&format!("bytes sent to node {position}"));
    }
}

/// The measure itself can be red.
#[test]
fn memory_that_a_process_takes_is_seen() {
    let memory =
        Memory { pid: std::process::id(), before_kib: process::memory_kib(std::process::id()).expect("it runs") };
    let taken = vec![1u8; usize::try_from(GROWTH_MAX_KIB).expect("small") << 10];
    assert!(std::hint::black_box(&taken).iter().all(|byte| *byte == 1));
    assert!(memory.growth_kib() >= GROWTH_MAX_KIB - 1024, "{} KiB", memory.growth_kib());
}

/// One after the other.
async fn pour(attacked: &Attacked, hello: &[u8]) {
    let (protected, open) = (attacked.cluster.node(PROTECTED), attacked.cluster.node(OPEN));
    let peer = attacked.peer();
    let by_tls = async |tls: &Tls, port: u16| tls.connect(port).await.expect("a handshake");
    let zeros = vec![0; 64 << 10];
    pours("no TLS, at the peers' port", plain(protected.peers).await, b"", &zeros).await;
    pours("a long hello", by_tls(&peer, protected.peers).await, b"\xff\xff", &zeros).await;
    let mut welcome = by_tls(&peer, protected.peers).await;
    assert!(is_welcome(&mut welcome, hello).await);
    pours("a frame of 4 GiB", welcome, b"\xff\xff\xff\xff", &zeros).await;

    // Behind TLS and without it.
    let grpc = attacked.caller("h2");
    for line in [plain(open.api).await, by_tls(&grpc, protected.api).await] {
        pours("garbage instead of gRPC", line, b"", &zeros).await;
    }
    let endless = [http2::opening(), http2::frame(HEADERS, 0, 1, &http2::call(None))].concat();
    let more = http2::frame(CONTINUATION, 0, 1, &many_fields());
    pours("headers without an end", plain(open.api).await, &endless, &more).await;
    let data = http2::frame(DATA, 0, 1, &zeros[..16 << 10]);
    pours("a message of 2 GiB and no token", plain(open.api).await, &announcing_2_gib(None), &data).await;
    // Who has a token is no stranger, and may not either. How it ends is HTTP/2's business: its windows are overrun.
    let mut known = plain(open.api).await;
    say(&mut known, &announcing_2_gib(Some(&attacked.token(OPEN)))).await;
    send(&mut known, &data).await;

    let pages = attacked.caller("http/1.1");
    for line in [plain(open.http).await, by_tls(&pages, protected.http).await] {
        let head = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-Long: ";
        pours("a header without an end", line, head, &vec![b'x'; 64 << 10]).await;
    }
    let head = format!("GET /healthz/live HTTP/1.1\r\nHost: localhost\r\nContent-Length: {POURED}\r\n\r\n");
    pours("a probe with a long body", plain(open.http).await, head.as_bytes(), &zeros).await;
}

/// About 10 KiB: less than what HTTP/2 takes of headers, so that it is kept.
fn many_fields() -> Vec<u8> {
    let value = "y".repeat(100);
    http2::fields(&[("x", value.as_str()); 100])
}

fn announcing_2_gib(token: Option<&str>) -> Vec<u8> {
    let headers = http2::frame(HEADERS, END_HEADERS, 1, &http2::call(token));
    [http2::opening(), headers, http2::frame(DATA, 0, 1, &[0, 0x80, 0, 0, 0])].concat()
}

/// Sends as much as it can, and must be hung up on.
async fn pours(what: &str, mut line: Line, head: &[u8], chunk: &[u8]) {
    let began = Instant::now();
    say(&mut line, head).await;
    send(&mut line, chunk).await;
    end(what, &mut line, began).await;
}

async fn send(line: &mut Line, chunk: &[u8]) {
    let sending = async {
        for _ in 0..POURED / chunk.len() {
            if line.write_all(chunk).await.is_err() {
                return;
            }
        }
        let _ = line.flush().await;
    };
    // Who is not listened to any more waits, as long as it may.
    let _ = timeout(LIMIT / 2, sending).await;
}

/// Many at once at each port, each with what is kept longest there; and somebody behind them who may come in.
async fn crowd(attacked: &Attacked, hello: &[u8]) {
    let (protected, open) = (attacked.cluster.node(PROTECTED), attacked.cluster.node(OPEN));
    let in_pages = [b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-Long: ".to_vec(), vec![b'x'; BAGGAGE]].concat();
    let begun = http2::frame(HEADERS, 0, 1, &http2::call(None));
    let in_http2 = [http2::opening(), begun, http2::frame(CONTINUATION, 0, 1, &many_fields())].concat();

    let crowded = fill(protected.peers, &half_a_handshake()).await;
    let mut peer = attacked.peer().connect(protected.peers).await.expect("a peer finds a place");
    assert!(is_welcome(&mut peer, hello).await, "a peer finds a place");
    drop(crowded);
    let crowded = fill(protected.api, &half_a_handshake()).await;
    attacked.write(PROTECTED, "behind-a-crowd-by-tls").await;
    drop(crowded);
    let crowded = fill(protected.http, &half_a_handshake()).await;
    let line = attacked.caller("http/1.1").connect(protected.http).await.expect("a caller finds a place");
    assert_eq!(page(line, "GET /healthz/live", &[("Host", "localhost")]).await.0, 200);
    drop(crowded);
    let crowded = fill(open.api, &in_http2).await;
    attacked.write(OPEN, "behind-a-crowd").await;
    drop(crowded);
    let crowded = fill(open.http, &in_pages).await;
    assert_eq!(page(plain(open.http).await, "GET /healthz/live", &[("Host", "localhost")]).await.0, 200);
    drop(crowded);
}

/// All of them stay until the last one has said what it can.
async fn fill(port: u16, baggage: &[u8]) -> Vec<Line> {
    let mut crowd = JoinSet::new();
    for _ in 0..CROWD {
        let (mut line, baggage) = (plain(port).await, baggage.to_vec());
        crowd.spawn(async move {
            say(&mut line, &baggage).await;
            line
        });
    }
    crowd.join_all().await
}

/// The beginning of a hello of TLS that would take a little more, in its records.
fn half_a_handshake() -> Vec<u8> {
    const RECORD: usize = 16 << 10;
    let length = u32::try_from(BAGGAGE + 1).expect("small").to_be_bytes();
    let mut hello = vec![1, length[1], length[2], length[3]];
    hello.resize(BAGGAGE, 0);
    let mut bytes = Vec::new();
    for part in hello.chunks(RECORD) {
        bytes.extend([0x16, 3, 1]);
        bytes.extend(u16::try_from(part.len()).expect("a record").to_be_bytes());
        bytes.extend(part);
    }
    bytes
}

/// For this process, which is the crowd; the nodes have been started with what they have.
fn allow_open_files() {
    let limits = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limits.maximum, ..limits }).expect("a process may use its own limit");
}
