//! Strangers at the peer port: what they can do is little, and costs little.

mod support;

use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use dspex_transport::{Authority, Channel, Security, StartError, Transport, TransportSettings};
use support::{ECHO, Echo, LIMIT, settings, start_with, transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

fn certified(directory: &Path, authority: &Authority, name: &str, hosts: &[&str]) -> Security {
    let own = directory.join(name);
    fs::create_dir_all(&own).expect("a directory");
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    authority.sign(name, &hosts, 1, None).expect("a certificate").write(&own).expect("written");
    fs::write(own.join("ca.pem"), authority.certificate()).expect("written");
    Security::Tls { ca: own.join("ca.pem"), certificate: own.join("node.pem"), key: own.join("node.key") }
}

fn with(node: u64, security: Security) -> TransportSettings {
    TransportSettings { security, ..settings(node) }
}

async fn ask(client: &Transport, address: &str) -> Result<Bytes, String> {
    let link = client.link(2, address, Channel::Consensus);
    link.call(ECHO, Bytes::from_static(b"hello"), LIMIT).await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn nodes_of_one_authority_talk_and_others_do_not() {
    let place = tempfile::tempdir().expect("a directory");
    let ours = Authority::create("ours").expect("an authority");
    let theirs = Authority::create("theirs").expect("an authority");
    let local = &["127.0.0.1", "localhost"][..];
    let server = start_with(with(2, certified(place.path(), &ours, "two", local)), Echo::default()).await;
    let friend = transport(with(1, certified(place.path(), &ours, "one", local)), Echo::default()).await;
    assert_eq!(ask(&friend, &server.here()).await, Ok(Bytes::from_static(b"hello")));

    // Certified by another authority; trusting ours does not help.
    let foreign = certified(place.path(), &theirs, "foreign", local);
    fs::write(place.path().join("foreign/ca.pem"), ours.certificate()).expect("written");
    let foreign = transport(with(3, foreign), Echo::default()).await;
    assert!(ask(&foreign, &server.here()).await.is_err());

    // Without TLS at all.
    let plain = transport(settings(4), Echo::default()).await;
    assert!(ask(&plain, &server.here()).await.is_err());
    assert_eq!(ask(&friend, &server.here()).await, Ok(Bytes::from_static(b"hello")), "friends are served as before");
}

#[tokio::test]
async fn a_peer_must_have_a_certificate_for_the_name_it_is_dialled_by() {
    let place = tempfile::tempdir().expect("a directory");
    let authority = Authority::create("ours").expect("an authority");
    let elsewhere = certified(place.path(), &authority, "two", &["node-2.example"]);
    let server = start_with(with(2, elsewhere), Echo::default()).await;
    let client = transport(with(1, certified(place.path(), &authority, "one", &["127.0.0.1"])), Echo::default()).await;
    let error = ask(&client, &server.here()).await.expect_err("another name");
    assert!(error.contains("TLS with"), "{error}");
}

#[tokio::test]
async fn an_authority_that_was_stored_signs_on() {
    let place = tempfile::tempdir().expect("a directory");
    assert!(Authority::read(place.path()).expect("readable").is_none(), "there is none yet");
    let authority = Authority::create("ours").expect("an authority");
    authority.write(place.path()).expect("written");
    let again = Authority::read(place.path()).expect("readable").expect("the same");
    let server = start_with(with(2, certified(place.path(), &authority, "two", &["127.0.0.1"])), Echo::default()).await;
    let client = transport(with(1, certified(place.path(), &again, "one", &["127.0.0.1"])), Echo::default()).await;
    assert_eq!(ask(&client, &server.here()).await, Ok(Bytes::from_static(b"hello")));
    assert!(authority.write(place.path()).is_err(), "what is there stays");
    fs::write(place.path().join("ca.pem"), "nothing").expect("written");
    assert!(Authority::read(place.path()).is_err());
    fs::remove_file(place.path().join("ca.pem")).expect("removed");
    let half = Authority::read(place.path()).expect_err("half of it");
    assert!(half.to_string().contains("ca.pem"), "{half}");
}

#[tokio::test]
async fn renewed_certificates_are_used_without_a_restart_and_broken_ones_are_not() {
    let place = tempfile::tempdir().expect("a directory");
    let old = Authority::create("old").expect("an authority");
    let new = Authority::create("new").expect("an authority");
    let server = start_with(with(2, certified(place.path(), &old, "two", &["127.0.0.1"])), Echo::default()).await;
    let client = transport(with(1, certified(place.path(), &new, "one", &["127.0.0.1"])), Echo::default()).await;
    assert!(ask(&client, &server.here()).await.is_err());
    let certificate = place.path().join("two/node.pem");
    let text = fs::read_to_string(&certificate).expect("a certificate");
    fs::write(&certificate, "half wri").expect("written");
    let friend = transport(with(3, certified(place.path(), &old, "three", &["127.0.0.1"])), Echo::default()).await;
    assert_eq!(ask(&friend, &server.here()).await, Ok(Bytes::from_static(b"hello")), "the earlier ones stay");
    fs::write(&certificate, text).expect("written");
    fs::remove_dir_all(place.path().join("two")).expect("removed");
    certified(place.path(), &new, "two", &["127.0.0.1"]);
    let deadline = Instant::now() + LIMIT;
    while ask(&client, &server.here()).await.is_err() {
        assert!(Instant::now() < deadline, "the new ones are not used");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn beyond_loopback_nobody_listens_without_tls() {
    let mut open = settings(1);
    open.listen = Some("0.0.0.0:0".parse().expect("an address"));
    let error = Transport::start(open, Echo::default()).await.expect_err("refused");
    assert!(matches!(error, StartError::Unprotected(_)));
    assert!(error.to_string().contains("dspex cert init"), "{error}");
}

#[tokio::test]
async fn those_who_say_nothing_are_shown_out_and_keep_nobody_waiting_for_long() {
    let mut limited = settings(2);
    limited.limits.handshakes = 4;
    limited.limits.handshake = Duration::from_millis(300);
    let server = start_with(limited, Echo::default()).await;
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(TcpStream::connect(server.here()).await.expect("connected"));
    }
    let client = transport(settings(1), Echo::default()).await;
    let deadline = Instant::now() + LIMIT;
    while ask(&client, &server.here()).await.is_err() {
        assert!(Instant::now() < deadline, "no turn");
    }
    for mut stream in silent {
        let end = timeout(LIMIT, stream.read(&mut [0; 16])).await.expect("shown out");
        assert!(matches!(end, Ok(0) | Err(_)));
    }
}

#[tokio::test]
async fn one_handshake_too_many_takes_the_place_of_the_oldest() {
    let mut limited = settings(2);
    (limited.limits.handshakes, limited.limits.handshake) = (4, 2 * LIMIT);
    let server = start_with(limited, Echo::default()).await;
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(TcpStream::connect(server.here()).await.expect("connected"));
    }
    let client = transport(settings(1), Echo::default()).await;
    assert_eq!(ask(&client, &server.here()).await, Ok(Bytes::from_static(b"hello")));
    // The time of none of them is over.
    for mut stream in silent.into_iter().take(36) {
        let end = timeout(LIMIT, stream.read(&mut [0; 16])).await.expect("shown out");
        assert!(matches!(end, Ok(0) | Err(_)));
    }
}

#[tokio::test]
async fn who_finds_no_place_is_hung_up_on_at_once() {
    let mut limited = settings(2);
    (limited.limits.connections, limited.limits.handshake) = (2, 2 * LIMIT);
    let server = start_with(limited, Echo::default()).await;
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(TcpStream::connect(server.here()).await.expect("connected"));
    }
    let end = timeout(LIMIT, streams[2].read(&mut [0; 16])).await.expect("hung up on");
    assert!(matches!(end, Ok(0) | Err(_)));
}

#[tokio::test]
async fn what_is_no_hello_is_hung_up_on() {
    let server = start_with(settings(2), Echo::default()).await;
    let far_too_long = [&[0xff, 0xff][..], &[0; 100]].concat();
    for words in [&b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..], &far_too_long, &[0, 0]] {
        let mut stream = TcpStream::connect(server.here()).await.expect("connected");
        stream.write_all(words).await.expect("written");
        let end = timeout(LIMIT, stream.read(&mut [0; 16])).await.expect("an end");
        assert!(matches!(end, Ok(0) | Err(_)), "{words:?}");
    }
}

#[tokio::test]
async fn a_frame_beyond_the_limit_ends_its_connection_only() {
    let server = start_with(settings(2), Echo::default()).await;
    let client = transport(settings(1), Echo::default()).await;
    ask(&client, &server.here()).await.expect("a reply");
    let mut stream = TcpStream::connect(server.here()).await.expect("connected");
    let hello = [&b"DSPXPEER\x01\0\x01\0\x02"[..], &[9, 0, 0, 0, 0, 0, 0, 0], &[0; 8], &[0]].concat();
    let length = u16::try_from(hello.len()).expect("short").to_le_bytes();
    stream.write_all(&[&length[..], &hello].concat()).await.expect("written");
    let mut welcome = [0; 64];
    let count = timeout(LIMIT, stream.read(&mut welcome)).await.expect("a welcome").expect("read");
    assert!(count > 2 && welcome[2] == 1, "welcomed: {:?}", &welcome[..count]);
    stream.write_all(&[0xff; 64]).await.expect("written");
    let mut rest = Vec::new();
    // However it ends: it must not go on.
    let _ = timeout(LIMIT, stream.read_to_end(&mut rest)).await.expect("an end");
    ask(&client, &server.here()).await.expect("others are served as before");
}
