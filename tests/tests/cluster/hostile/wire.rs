//! Connections as somebody has them who keeps to no client: bytes, with or without TLS, and what peers say to each other.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore, ServerConfig, version};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::LIMIT;

/// What peers speak, as ALPN calls it.
pub const PEER: &str = "dspex-peer";

/// Bytes in both directions.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A connection, whatever it is made of.
pub type Line = Box<dyn Duplex>;

/// A connection on which nothing has been said.
pub async fn plain(port: u16) -> Line {
    Box::new(tcp(port).await)
}

async fn tcp(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("the port takes connections");
    stream.set_nodelay(true).expect("set");
    stream
}

/// TLS, as one end speaks it.
#[derive(Clone)]
pub struct Tls(TlsConnector);

impl Tls {
    /// Trusts an authority; shows the certificate that lies in `own`.
    pub fn new(ca: &Path, own: Option<&Path>, protocol: &str) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(chain(ca).remove(0)).expect("an authority");
        let begun = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&version::TLS13])
            .expect("TLS 1.3")
            .with_root_certificates(roots);
        let mut config = match own {
            Some(own) => begun.with_client_auth_cert(chain(&own.join("node.pem")), key(own)).expect("a pair"),
            None => begun.with_no_client_auth(),
        };
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        Self(TlsConnector::from(Arc::new(config)))
    }

    /// A handshake. That this end is through does not mean that the other one is content.
    pub async fn connect(&self, port: u16) -> io::Result<Line> {
        let name = ServerName::try_from("127.0.0.1").expect("a name");
        let connecting = self.0.connect(name, tcp(port).await);
        let line = timeout(LIMIT, connecting).await.expect("a handshake ends within the limit")?;
        Ok(Box::new(line))
    }
}

/// The other end of TLS among peers, with the certificate that lies in `own`; takes everybody.
pub fn acceptor(own: &Path) -> TlsAcceptor {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&version::TLS13])
        .expect("TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(chain(&own.join("node.pem")), key(own))
        .expect("a pair");
    config.alpn_protocols = vec![PEER.as_bytes().to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

fn chain(file: &Path) -> Vec<CertificateDer<'static>> {
    vec![CertificateDer::from_pem_slice(&fs::read(file).expect("readable")).expect("a certificate")]
}

fn key(own: &Path) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_slice(&fs::read(own.join("node.key")).expect("readable")).expect("a key")
}

/// Says something. The other end may have had enough before all of it is said.
pub async fn say(line: &mut Line, words: &[u8]) {
    let _ = timeout(LIMIT, async {
        let _ = line.write_all(words).await;
        let _ = line.flush().await;
    })
    .await;
}

/// What the other end says until it closes, which it must do within the limit.
pub async fn end(what: &str, line: &mut Line, began: Instant) -> Vec<u8> {
    let mut said = Vec::new();
    let mut buffer = vec![0; 16 << 10];
    loop {
        match timeout_at(began + LIMIT, line.read(&mut buffer)).await {
            // However it closes.
            Ok(Ok(0) | Err(_)) => return said,
            Ok(Ok(count)) => said.extend_from_slice(&buffer[..count]),
            Err(_) => panic!("{what}: the connection is open after {LIMIT:?}"),
        }
    }
}

/// A page of HTTP/1, on a connection of its own: the code, and all that was said.
pub async fn page(mut line: Line, first: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let mut request = format!("{first} HTTP/1.1\r\nConnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    say(&mut line, format!("{request}\r\n").as_bytes()).await;
    let said = end(first, &mut line, Instant::now()).await;
    let said = String::from_utf8_lossy(&said).into_owned();
    (said.split_whitespace().nth(1).and_then(|code| code.parse().ok()).unwrap_or_default(), said)
}

/// The first words of a peer, on the consensus channel.
pub struct Hello<'a> {
    pub versions: (u16, u16),
    pub channel: u8,
    /// Whom it expects; 0: whoever is there.
    pub to: u64,
    pub cluster: &'a str,
}

impl<'a> Hello<'a> {
    pub fn of(cluster: &'a str) -> Self {
        Self { versions: (1, 1), channel: 1, to: 0, cluster }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"DSPXPEER".to_vec();
        bytes.extend(self.versions.0.to_le_bytes());
        bytes.extend(self.versions.1.to_le_bytes());
        bytes.push(self.channel);
        // Of a number that no member has.
        bytes.extend(4242u64.to_le_bytes());
        bytes.extend(self.to.to_le_bytes());
        bytes.push(u8::try_from(self.cluster.len()).expect("short"));
        bytes.extend(self.cluster.as_bytes());
        [&u16::try_from(bytes.len()).expect("short").to_le_bytes()[..], &bytes].concat()
    }
}

/// A message of the handshake: a hello, or what answers one. Nothing when the other end hangs up instead.
pub async fn short(line: &mut Line) -> Option<Vec<u8>> {
    let read = async {
        let mut bytes = vec![0; usize::from(line.read_u16_le().await.ok()?)];
        line.read_exact(&mut bytes).await.ok()?;
        Some(bytes)
    };
    timeout(LIMIT, read).await.expect("an answer or an end within the limit")
}

/// Whether a peer is welcome with these words.
pub async fn is_welcome(line: &mut Line, hello: &[u8]) -> bool {
    say(line, hello).await;
    short(line).await.is_some_and(|answer| answer.first() == Some(&1))
}

/// A frame among peers.
pub fn frame(kind: u8, id: u64, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(9 + body.len()).expect("short");
    [&length.to_le_bytes()[..], &[kind], &id.to_le_bytes(), body].concat()
}

/// The next frame: its kind and its id.
pub async fn next_frame(line: &mut Line) -> io::Result<(u8, u64)> {
    let length = line.read_u32_le().await?;
    let (kind, id) = (line.read_u8().await?, line.read_u64_le().await?);
    let mut body = vec![0; usize::try_from(length).expect("small").saturating_sub(9)];
    line.read_exact(&mut body).await?;
    Ok((kind, id))
}
