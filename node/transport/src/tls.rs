//! Mutual TLS 1.3 between nodes. The files are read again when they have changed, so that certificates can be renewed
//! without a restart.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig, version};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::error::CertificateError;
use crate::settings::Security;
use crate::stream::Stream;

const PROTOCOL: &[u8] = b"dspex-peer";

/// Protects connections as the settings say.
#[derive(Debug)]
pub(crate) enum Protection {
    Plain,
    Tls(Files),
}

/// Certificate files, and what was made of them last.
#[derive(Debug)]
pub(crate) struct Files {
    ca: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
    loaded: Mutex<Option<Loaded>>,
}

#[derive(Debug, Clone)]
struct Loaded {
    changed: [Option<SystemTime>; 3],
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Protection {
    /// Fails where the files cannot be used: at the start, not at the first connection.
    pub(crate) fn new(security: &Security) -> Result<Self, CertificateError> {
        match security {
            Security::Plain => Ok(Self::Plain),
            Security::Tls { ca, certificate, key } => {
                let files = Files {
                    ca: ca.clone(),
                    certificate: certificate.clone(),
                    key: key.clone(),
                    loaded: Mutex::new(None),
                };
                files.current()?;
                Ok(Self::Tls(files))
            }
        }
    }

    pub(crate) async fn accept(&self, stream: TcpStream) -> Result<Stream, String> {
        match self {
            Self::Plain => Ok(Box::new(stream)),
            Self::Tls(files) => {
                let config = files.current().map_err(|error| error.to_string())?.server;
                let accepted = TlsAcceptor::from(config).accept(stream).await.map_err(|error| error.to_string())?;
                Ok(Box::new(accepted))
            }
        }
    }

    /// `host`: as in the address that was dialled; the peer's certificate must name it.
    pub(crate) async fn connect(&self, host: &str, stream: TcpStream) -> Result<Stream, String> {
        match self {
            Self::Plain => Ok(Box::new(stream)),
            Self::Tls(files) => {
                let config = files.current().map_err(|error| error.to_string())?.client;
                let name = ServerName::try_from(host.to_owned()).map_err(|_| format!("{host:?} is no host name"))?;
                let connected =
                    TlsConnector::from(config).connect(name, stream).await.map_err(|error| error.to_string())?;
                Ok(Box::new(connected))
            }
        }
    }
}

impl Files {
    fn current(&self) -> Result<Loaded, CertificateError> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = [&self.ca, &self.certificate, &self.key].map(|path| changed(path));
        if let Some(known) = loaded.as_ref().filter(|known| known.changed == changed) {
            return Ok(known.clone());
        }
        match self.load(changed) {
            Ok(fresh) => Ok(loaded.insert(fresh).clone()),
            // A renewal that is half written: the old ones are good until they expire.
            Err(error) => match loaded.as_ref() {
                Some(known) => {
                    tracing::warn!(%error, "the certificates have changed and cannot be used; the earlier ones stay");
                    Ok(known.clone())
                }
                None => Err(error),
            },
        }
    }

    fn load(&self, changed: [Option<SystemTime>; 3]) -> Result<Loaded, CertificateError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&self.ca)? {
            roots.add(certificate).map_err(|error| content(&self.ca, error))?;
        }
        let roots = Arc::new(roots);
        let chain = certificates(&self.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&read(&self.key)?)
            .map_err(|_| content(&self.key, "there is no private key in it"))?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
            .build()
            .map_err(|error| content(&self.ca, error))?;
        let own = |error| content(&self.certificate, error);
        let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&version::TLS13])
            .map_err(own)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(own)?;
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13])
            .map_err(own)?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .map_err(own)?;
        server.alpn_protocols = vec![PROTOCOL.to_vec()];
        client.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(Loaded { changed, server: Arc::new(server), client: Arc::new(client) })
    }
}

fn changed(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    fs::read(path).map_err(|source| CertificateError::File { path: path.to_path_buf(), source })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let pem = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(content(path, "there is no certificate in it (PEM is wanted)")),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it stands behind `map_err`, with errors and texts")]
fn content(path: &Path, detail: impl ToString) -> CertificateError {
    CertificateError::Content { path: path.to_path_buf(), detail: detail.to_string() }
}
