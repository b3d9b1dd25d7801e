//! TLS for those who call a node. Only the node shows a certificate: who calls shows a token inside.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::{ServerConfig, version};
use tokio::io::AsyncBufReadExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::error::CertificateError;
use crate::pair::PairFiles;
use crate::reloaded::Reloaded;
use crate::stream::Stream;

/// The server's side of TLS 1.3, with a certificate that is read again when its files have changed; clones share it.
#[derive(Debug, Clone)]
pub struct ServerTls {
    loaded: Arc<Reloaded<Loaded>>,
}

#[derive(Debug, Clone)]
struct Loaded {
    config: Arc<ServerConfig>,
    hosts: Arc<[String]>,
}

impl ServerTls {
    /// With a certificate, or a chain that begins with it, and its private key: PEM files.
    ///
    /// # Errors
    /// When they cannot be read, do not belong together, or the certificate has expired.
    pub fn new(certificate: &Path, key: &Path) -> Result<Self, CertificateError> {
        let files = PairFiles { certificate: certificate.to_path_buf(), key: key.to_path_buf() };
        let paths = vec![files.certificate.clone(), files.key.clone()];
        Ok(Self { loaded: Arc::new(Reloaded::new(paths, move || load(&files))?) })
    }

    /// The host names and addresses that the certificate is for.
    pub fn hosts(&self) -> Arc<[String]> {
        self.loaded.current().hosts
    }

    /// Protects a connection, on which this protocol (its ALPN name) is spoken; a caller that names none is taken to speak it.
    /// Waits for the caller's first word, too, so that whoever limits the time has the whole wait in hand.
    ///
    /// # Errors
    /// Why it did not come about, for a log.
    pub async fn accept(&self, stream: TcpStream, protocol: &str) -> Result<Stream, String> {
        let mut config = (*self.loaded.current().config).clone();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let accepting = TlsAcceptor::from(Arc::new(config)).accept(stream);
        let mut accepted = accepting.await.map_err(|error| error.to_string())?;
        let is_silent = accepted.fill_buf().await.map_err(|error| error.to_string())?.is_empty();
        if is_silent {
            return Err("it left without a word".to_owned());
        }
        Ok(Box::new(accepted))
    }
}

fn load(files: &PairFiles) -> Result<Loaded, CertificateError> {
    let pair = files.read()?;
    let refused = |error: rustls::Error| files.refused(&error);
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&version::TLS13])
        .map_err(refused)?
        .with_no_client_auth()
        .with_single_cert(pair.chain, pair.key)
        .map_err(refused)?;
    Ok(Loaded { config: Arc::new(config), hosts: pair.facts.hosts.into() })
}
