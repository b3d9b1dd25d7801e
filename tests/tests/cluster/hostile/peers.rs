//! The peer port: what is no hello, what is no frame, and who is of another cluster.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::listeners::ractor_words;
use super::wire::{Hello, Line, Tls, end, frame, is_welcome, next_frame, plain, say, short};
use super::{Attacked, LIMIT, PROTECTED, block_on};

/// The longest frame of the consensus channel, without the four bytes of its length.
const FRAME_MAX: usize = 8 << 20;
/// Longer than a handshake may take, and than a peer may be silent.
const LONG: Duration = Duration::from_secs(7);
const HEARTBEAT: Duration = Duration::from_millis(500);

const REQUEST: u8 = 1;
const REPLY: u8 = 2;
const REFUSAL: u8 = 3;
const PING: u8 = 5;
/// No method of this number is known.
const METHOD: u8 = 255;

// Taken away by `limits.handshake` in `listener::receive` (node/transport): who says too little stays. By one of the `return refuse(...)`
// of `hello::judge`: who is refused is welcome. By the bound in `Frame::take`, or a `Frame::decode` that lets unknown kinds pass: what is
// no frame is answered. Not by `Health::Down` in `session::reader` alone: a session that is shown as down is ended by others as well.
#[test]
fn who_is_no_peer_of_the_cluster_is_hung_up_on_in_time_and_a_peer_is_not() {
    let attacked = Attacked::new();
    let port = attacked.cluster.node(PROTECTED).peers;
    let cluster = attacked.cluster.status(PROTECTED).cluster_id;
    let (tls, hello) = (attacked.peer(), Hello::of(&cluster).bytes());
    block_on(async {
        let mut strangers = JoinSet::new();
        for (what, words) in without_tls(&hello) {
            let cluster = cluster.clone();
            strangers.spawn(async move {
                let said = goes(what, plain(port).await, &words).await;
                assert!(!String::from_utf8_lossy(&said).contains(&cluster), "{what}: a stranger was answered");
            });
        }
        for (what, words) in no_hello(&hello) {
            let line = tls.connect(port).await.expect("its certificate is right");
            strangers.spawn(async move { assert_eq!(goes(what, line, &words).await, b"", "{what}") });
        }
        for (hello, reason) in refused(&cluster) {
            let mut line = tls.connect(port).await.expect("its certificate is right");
            strangers.spawn(async move {
                let began = Instant::now();
                say(&mut line, &hello).await;
                let answer = short(&mut line).await.expect("it is told why");
                assert_eq!(answer.get(..2), Some(&[2, reason][..]));
                end("who is refused", &mut line, began).await;
            });
        }
        for (what, words) in no_frame() {
            let (tls, hello) = (tls.clone(), hello.clone());
            strangers.spawn(async move {
                let mut line = tls.connect(port).await.expect("its certificate is right");
                assert!(is_welcome(&mut line, &hello).await, "{what}");
                let said = goes(what, line, &words).await;
                assert!(kinds(&said).iter().all(|kind| *kind == PING), "{what}: {:?}", kinds(&said));
            });
        }
        strangers.spawn(stays(tls, port, hello));
        strangers.join_all().await;
        attacked.write(PROTECTED, "after").await;
    });
}

/// Says this and nothing more; gives what the other end says until it closes.
async fn goes(what: &str, mut line: Line, words: &[u8]) -> Vec<u8> {
    let began = Instant::now();
    say(&mut line, words).await;
    end(what, &mut line, began).await
}

/// The control: a peer that keeps to the rules asks as much as it may, and stays as long as it shows that it lives.
async fn stays(tls: Tls, port: u16, hello: Vec<u8>) {
    let mut line = tls.connect(port).await.expect("its certificate is right");
    assert!(is_welcome(&mut line, &hello).await);
    let mut longest = vec![0; FRAME_MAX - 9];
    longest[0] = METHOD;
    is_answered(&mut line, 1, &longest).await;
    let began = Instant::now();
    while began.elapsed() < LONG {
        say(&mut line, &frame(PING, 0, &[])).await;
        sleep(HEARTBEAT).await;
    }
    is_answered(&mut line, 2, &[METHOD]).await;
}

async fn is_answered(line: &mut Line, id: u64, body: &[u8]) {
    say(line, &frame(REQUEST, id, body)).await;
    let answer = async {
        loop {
            match next_frame(line).await.expect("the connection is open") {
                (REPLY | REFUSAL, answered) if answered == id => return,
                _ => {}
            }
        }
    };
    timeout(LIMIT, answer).await.expect("an answer");
}

fn without_tls(hello: &[u8]) -> [(&'static str, Vec<u8>); 6] {
    [
        ("the words of ractor_cluster", ractor_words()),
        ("garbage", vec![0xa5; 300]),
        ("HTTP", b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
        ("a hello without TLS", hello.to_vec()),
        ("half a record of TLS", vec![0x16, 3, 1, 0x02, 0, 1, 0, 1]),
        ("a record of TLS that is no handshake", vec![0x17, 3, 3, 0, 4, 1, 2, 3, 4]),
    ]
}

/// By TLS, with the certificate of a member.
fn no_hello(hello: &[u8]) -> [(&'static str, Vec<u8>); 7] {
    let mut strange = hello.to_vec();
    strange[2..10].copy_from_slice(b"DSPXPEAR");
    let mut long = vec![0xff, 0xff];
    long.resize(70_000, 0);
    [
        ("nothing", Vec::new()),
        ("the words of ractor_cluster by TLS", ractor_words()),
        ("garbage instead of a hello", vec![0xa5; 300]),
        ("half a hello", hello[..hello.len() / 2].to_vec()),
        ("an empty hello", vec![0, 0]),
        ("a hello with another beginning", strange),
        ("a hello that is too long", long),
    ]
}

/// With the reason's number.
fn refused(cluster: &str) -> [(Vec<u8>, u8); 4] {
    let own = || Hello::of(cluster);
    [
        (Hello { versions: (9, 9), ..own() }.bytes(), 1),
        (Hello::of("01980000-0000-7000-8000-000000000000").bytes(), 2),
        (Hello { to: 17, ..own() }.bytes(), 3),
        (Hello { channel: 99, ..own() }.bytes(), 4),
    ]
}

/// By a peer that was welcome; what stands behind it must not be answered.
fn no_frame() -> [(&'static str, Vec<u8>); 5] {
    let mut too_long = vec![0; FRAME_MAX - 8];
    too_long[0] = METHOD;
    let behind = frame(REQUEST, 9, &[METHOD]);
    [
        ("a frame of one byte more than the most", frame(REQUEST, 9, &too_long)),
        ("a frame of 4 GiB", [&[0xff; 4][..], &behind].concat()),
        ("half a frame", [&1000u32.to_le_bytes()[..], &behind].concat()),
        ("a frame that is too short", [&3u32.to_le_bytes()[..], &[REQUEST; 3], &behind].concat()),
        ("a frame of an unknown kind", [&frame(77, 1, &[])[..], &behind].concat()),
    ]
}

/// The kinds of the frames that were said.
fn kinds(mut said: &[u8]) -> Vec<u8> {
    let mut kinds = Vec::new();
    while let Some((length, rest)) = said.split_first_chunk() {
        kinds.extend(rest.first());
        let length = usize::try_from(u32::from_le_bytes(*length)).expect("small");
        said = rest.get(length..).unwrap_or_default();
    }
    kinds
}
