//! Transports for tests: one that echoes, one whose connections the test holds, and a relay that misbehaves.

#![allow(dead_code)] // Each test file uses its part.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::BytesMut;
use dspex_transport::{Identity, Limits, Requests, Security, Serve, Session, Traffic, Transport, TransportSettings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};

/// No wait in these tests comes near it.
pub const LIMIT: Duration = Duration::from_secs(20);

/// Answered with the same.
pub const ECHO: u8 = 1;
/// Answered with the same, and how many such requests came before on this connection.
pub const NUMBERED: u8 = 2;
/// Never answered.
pub const LATER: u8 = 3;
/// Never answered, and long.
pub const FREEZE: u8 = 4;

pub fn settings(node: u64) -> TransportSettings {
    TransportSettings {
        identity: Identity { node, cluster: Some("test".to_owned()) },
        listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        security: Security::Plain,
        limits: Limits {
            handshake: Duration::from_secs(2),
            heartbeat: Duration::from_millis(100),
            suspect: Duration::from_millis(300),
            down: Duration::from_millis(600),
            longest_pause: Duration::from_millis(100),
            ..Limits::default()
        },
    }
}

pub async fn transport(settings: TransportSettings, serve: impl Serve) -> Transport {
    Transport::start(settings, serve).await.expect("a transport")
}

/// One that only asks.
pub async fn plain(node: u64) -> Transport {
    transport(settings(node), Echo::default()).await
}

/// A transport that can be ended with all its connections.
pub struct Server {
    transport: Transport,
    sessions: Arc<Mutex<Vec<Session>>>,
}

impl Server {
    pub fn here(&self) -> String {
        self.transport.address().expect("it listens").to_string()
    }

    pub fn traffic(&self) -> Traffic {
        self.transport.traffic()
    }

    pub async fn end(self) {
        let address = self.here();
        drop(self.transport);
        for session in self.sessions.lock().expect("sessions").drain(..) {
            session.close();
        }
        // The listener's task lets go of the port a moment later.
        let deadline = Instant::now() + LIMIT;
        while TcpListener::bind(&address).await.is_err() {
            assert!(Instant::now() < deadline);
            sleep(Duration::from_millis(10)).await;
        }
    }
}

struct Kept<S> {
    serve: S,
    sessions: Arc<Mutex<Vec<Session>>>,
}

impl<S: Serve> Serve for Kept<S> {
    fn serve(&self, session: Session, requests: Requests) {
        self.sessions.lock().expect("sessions").push(session.clone());
        self.serve.serve(session, requests);
    }
}

pub async fn start(node: u64, serve: impl Serve) -> Server {
    start_with(settings(node), serve).await
}

pub async fn start_at(address: &str, node: u64, serve: impl Serve) -> Server {
    let mut settings = settings(node);
    settings.listen = Some(address.parse().expect("an address"));
    start_with(settings, serve).await
}

pub async fn start_with(settings: TransportSettings, serve: impl Serve) -> Server {
    let sessions = Arc::default();
    let transport = transport(settings, Kept { serve, sessions: Arc::clone(&sessions) }).await;
    Server { transport, sessions }
}

#[derive(Default)]
pub struct Echo {}

impl Serve for Echo {
    fn serve(&self, _session: Session, mut requests: Requests) {
        tokio::spawn(async move {
            let mut place = 0u32;
            let mut never = Vec::new();
            while let Some(request) = requests.next().await {
                let body = request.body.clone();
                match request.method {
                    ECHO => request.reply(body).await,
                    NUMBERED => {
                        let mut answer = BytesMut::from(&body[..]);
                        answer.extend_from_slice(&place.to_le_bytes());
                        place += 1;
                        request.reply(answer.freeze()).await;
                    }
                    _ => never.push(request),
                }
            }
        });
    }
}

/// Keeps its last connection for the test, and takes nothing from it.
#[derive(Clone, Default)]
pub struct Tap {
    last: Arc<Mutex<Option<(Session, Requests)>>>,
}

impl Tap {
    pub fn session(&self) -> Option<Session> {
        self.last.lock().expect("tap").as_ref().map(|(session, _)| session.clone())
    }
}

impl Serve for Tap {
    fn serve(&self, session: Session, requests: Requests) {
        *self.last.lock().expect("tap") = Some((session, requests));
    }
}

/// Waits until there is something.
pub async fn until<T>(mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < deadline, "it never came");
        sleep(Duration::from_millis(5)).await;
    }
}

const PASS: u8 = 0;
const SWALLOW: u8 = 1;
const STOP_READING: u8 = 2;

/// Stands between two ends and passes bytes on, until it is told otherwise.
pub struct Relay {
    address: SocketAddr,
    mode: Arc<AtomicU8>,
}

impl Relay {
    pub async fn start(to: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let mode = Arc::new(AtomicU8::new(PASS));
        let shared = Arc::clone(&mode);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(&to).await.expect("the other end");
                let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
                tokio::spawn(pass(near_read, far_write, Arc::clone(&shared)));
                tokio::spawn(pass(far_read, near_write, Arc::clone(&shared)));
            }
        });
        Self { address, mode }
    }

    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Takes every byte, and passes none on.
    pub fn swallow(&self) {
        self.mode.store(SWALLOW, Ordering::SeqCst);
    }

    /// Takes no byte any more.
    pub fn stop_reading(&self) {
        self.mode.store(STOP_READING, Ordering::SeqCst);
    }
}

async fn pass(mut from: tokio::net::tcp::OwnedReadHalf, mut to: tokio::net::tcp::OwnedWriteHalf, mode: Arc<AtomicU8>) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        while mode.load(Ordering::SeqCst) == STOP_READING {
            sleep(Duration::from_millis(5)).await;
        }
        match from.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(count) if mode.load(Ordering::SeqCst) == PASS => {
                if to.write_all(&buffer[..count]).await.is_err() {
                    return;
                }
            }
            Ok(_) => {}
        }
    }
}
