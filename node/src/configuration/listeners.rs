//! Where a node listens for callers, and what it shows them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

const API_DEFAULT: &str = "127.0.0.1:7400";
const HTTP_DEFAULT: &str = "127.0.0.1:7480";

/// gRPC, and the certificate of both listeners.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ApiSection {
    pub(super) listen: Option<String>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

/// Probes and metrics.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HttpSection {
    pub(super) listen: Option<String>,
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

impl ApiSection {
    /// Files are named relative to the settings.
    pub(super) fn beside(&mut self, directory: &Path) {
        for file in [&mut self.certificate, &mut self.key].into_iter().flatten() {
            *file = directory.join(&file);
        }
    }

    fn files(&self) -> Result<Option<CertificateFiles>, String> {
        match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => {
                Ok(Some(CertificateFiles { certificate: certificate.clone(), key: key.clone() }))
            }
            (None, None) => Ok(None),
            _ => Err("api.certificate and api.key belong together: name both".to_owned()),
        }
    }
}

/// What the sections ask for, unless it would show tokens to a network.
pub(super) fn setup(api: &ApiSection, http: &HttpSection) -> Result<ListenerSetup, String> {
    let certificate = api.files()?;
    let of = |name: &str, text: Option<&str>, default: &str| {
        let address = address(name, text.unwrap_or(default), default)?;
        if certificate.is_none() && !address.ip().is_loopback() {
            return Err(format!(
                "{name}: {address} is beyond loopback, where callers need TLS: make a certificate with `dspex cert init`, and \
                 name its files in api.certificate and api.key, which are for api.listen and http.listen"
            ));
        }
        Ok(address)
    };
    Ok(ListenerSetup {
        api: of("api.listen", api.listen.as_deref(), API_DEFAULT)?,
        http: of("http.listen", http.listen.as_deref(), HTTP_DEFAULT)?,
        certificate,
    })
}

fn address(name: &str, text: &str, example: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("{name}: {text:?} is not an address like {example}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setup_of(text: &str) -> Result<ListenerSetup, String> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Both {
            api: ApiSection,
            http: HttpSection,
        }
        let both: Both = toml::from_str(text).map_err(|error| error.to_string())?;
        setup(&both.api, &both.http)
    }

    #[test]
    fn a_node_listens_beyond_loopback_with_a_certificate_only() {
        let alone = setup_of("").expect("valid");
        assert_eq!((alone.api.to_string().as_str(), alone.certificate), (API_DEFAULT, None));
        let files = "certificate = \"c.pem\"\nkey = \"c.key\"\n";
        let open =
            setup_of(&format!("[api]\nlisten = \"0.0.0.0:1\"\n{files}[http]\nlisten = \"[::]:2\"")).expect("valid");
        assert!(open.certificate.is_some() && !open.api.ip().is_loopback() && !open.http.ip().is_loopback());
        for (text, named) in [
            ("[api]\nlisten = \"0.0.0.0:7400\"", "api.listen: 0.0.0.0:7400 is beyond loopback"),
            ("[http]\nlisten = \"10.0.0.1:7480\"", "http.listen: 10.0.0.1:7480 is beyond loopback"),
            ("[api]\nlisten = \"0.0.0.0:7400\"", "dspex cert init"),
            ("[api]\nlisten = \"0.0.0.0:7400\"\ncertificate = \"c.pem\"", "belong together"),
            ("[api]\nkey = \"c.key\"", "belong together"),
            ("[api]\nlisten = \"localhost\"", "is not an address like 127.0.0.1:7400"),
            ("[http]\ncertificate = \"c.pem\"", "certificate"),
        ] {
            let error = setup_of(text).expect_err(text);
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
