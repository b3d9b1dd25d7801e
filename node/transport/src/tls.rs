//! Mutual TLS 1.3 between nodes. The files are read again when they have changed, so that certificates can be renewed
//! without a restart.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig, version};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::error::CertificateError;
use crate::pair::PairFiles;
use crate::pem;
use crate::reloaded::Reloaded;
use crate::settings::Security;
use crate::stream::Stream;

const PROTOCOL: &[u8] = b"dspex-peer";

/// Protects connections as the settings say.
#[derive(Debug)]
pub(crate) enum Protection {
    Plain,
    Tls(Reloaded<Loaded>),
}

/// What was made of the certificate files.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Protection {
    /// Fails where the files cannot be used: at the start, not at the first connection.
    pub(crate) fn new(security: &Security) -> Result<Self, CertificateError> {
        match security {
            Security::Plain => Ok(Self::Plain),
            Security::Tls { ca, certificate, key } => {
                let own = PairFiles { certificate: certificate.clone(), key: key.clone() };
                let (files, ca) = (vec![ca.clone(), own.certificate.clone(), own.key.clone()], ca.clone());
                Ok(Self::Tls(Reloaded::new(files, move || load(&ca, &own))?))
            }
        }
    }

    pub(crate) async fn accept(&self, stream: TcpStream) -> Result<Stream, String> {
        match self {
            Self::Plain => Ok(Box::new(stream)),
            Self::Tls(files) => {
                let config = files.current().server;
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
                let config = files.current().client;
                let name = ServerName::try_from(host.to_owned()).map_err(|_| format!("{host:?} is no host name"))?;
                let connected =
                    TlsConnector::from(config).connect(name, stream).await.map_err(|error| error.to_string())?;
                Ok(Box::new(connected))
            }
        }
    }
}

fn load(ca: &Path, own: &PairFiles) -> Result<Loaded, CertificateError> {
    let mut roots = RootCertStore::empty();
    for certificate in pem::certificates(ca)? {
        roots.add(certificate).map_err(|error| pem::content(ca, error))?;
    }
    let roots = Arc::new(roots);
    let pair = own.read()?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
        .build()
        .map_err(|error| pem::content(ca, error))?;
    let refused = |error: rustls::Error| own.refused(&error);
    let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&version::TLS13])
        .map_err(refused)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(pair.chain.clone(), pair.key.clone_key())
        .map_err(refused)?;
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13])
        .map_err(refused)?
        .with_root_certificates(roots)
        .with_client_auth_cert(pair.chain, pair.key)
        .map_err(refused)?;
    server.alpn_protocols = vec![PROTOCOL.to_vec()];
    client.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(Loaded { server: Arc::new(server), client: Arc::new(client) })
}
