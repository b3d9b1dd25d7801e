//! Where a node listens for callers, and what it shows them.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

use super::{Configuration, Problem};

pub(super) const API_DEFAULT: &str = "127.0.0.1:7400";
pub(super) const HTTP_DEFAULT: &str = "127.0.0.1:7480";

/// gRPC, and the certificate of both listeners.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ApiSection {
    listen: Option<SocketAddr>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

/// Probes and metrics.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HttpSection {
    listen: Option<SocketAddr>,
}

/// Both listeners, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListenerSetup {
    pub api: SocketAddr,
    pub http: SocketAddr,
    /// Both speak TLS with it, wherever they listen; `None`: neither does.
    pub certificate: Option<CertificateFiles>,
}

/// PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CertificateFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Configuration {
    /// What the sections ask for, unless it would show tokens to a network.
    pub(crate) fn listeners(&self) -> Result<ListenerSetup, Problem> {
        let (api, http) = (self.api_address()?, self.http_address()?);
        Ok(ListenerSetup { api, http, certificate: self.certificate_of_callers()? })
    }

    /// gRPC.
    pub(crate) fn api_address(&self) -> Result<SocketAddr, Problem> {
        self.for_callers("api.listen", self.api.listen, API_DEFAULT)
    }

    /// Probes and metrics.
    pub(crate) fn http_address(&self) -> Result<SocketAddr, Problem> {
        self.for_callers("http.listen", self.http.listen, HTTP_DEFAULT)
    }

    /// The certificate of both listeners; `None`: they do not speak TLS.
    pub(crate) fn certificate_of_callers(&self) -> Result<Option<CertificateFiles>, Problem> {
        let together = "it is missing; api.certificate and api.key belong together: name both";
        match (&self.api.certificate, &self.api.key) {
            (Some(certificate), Some(key)) => {
                Ok(Some(CertificateFiles { certificate: certificate.clone(), key: key.clone() }))
            }
            (None, None) => Ok(None),
            (None, Some(_)) => Err(self.problem("api.certificate", together)),
            (Some(_), None) => Err(self.problem("api.key", together)),
        }
    }

    /// The file of the certificate, and that of its key, as far as they are named.
    pub(super) fn files_for_callers(&self) -> (Option<PathBuf>, Option<PathBuf>) {
        (self.api.certificate.clone(), self.api.key.clone())
    }

    fn for_callers(&self, key: &str, set: Option<SocketAddr>, default: &str) -> Result<SocketAddr, Problem> {
        let address = self.address(set, default)?;
        if address.ip().is_loopback() || self.api.certificate.is_some() {
            return Ok(address);
        }
        let why = "it is beyond loopback, where callers need TLS: make a certificate with `dspex cert init`, and name its \
                   files in api.certificate and api.key, which are for api.listen and http.listen";
        Err(self.problem(key, why))
    }
}
