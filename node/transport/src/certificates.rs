//! Certificates of a cluster's own: an authority, and what it signs for each node.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ED25519,
};
use time::{Duration, OffsetDateTime};

use crate::error::CertificateError;

/// How long an authority signs.
const AUTHORITY_DAYS: u32 = 3650;
/// What an authority is stored in.
const CERTIFICATE_FILE: &str = "ca.pem";
const KEY_FILE: &str = "ca.key";

/// The extension that binds a node's signing key: its 32 bytes of ed25519. Under an arc for private use, made from a UUID.
pub(crate) const SIGNING_KEY_OID: &[u64] = &[2, 25, 2_049_364_583, 1];

/// Signs the nodes of one cluster.
pub struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A node's certificate and keys, PEM.
pub struct NodeCertificate {
    /// Signed by the authority; names the node's hosts and binds its signing key.
    pub certificate: String,
    /// For TLS.
    pub key: String,
    /// For ballots.
    pub signing_key: String,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for NodeCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeCertificate").finish_non_exhaustive()
    }
}

impl Authority {
    /// A new one.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn create(cluster: &str) -> Result<Self, CertificateError> {
        let key = KeyPair::generate().map_err(make)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = name(&format!("DSPex cluster {cluster}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        last(&mut params, AUTHORITY_DAYS);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(make)?.pem();
        Ok(Self { certificate, issuer: Issuer::new(params, key) })
    }

    /// The one that a directory holds; `None`: it holds none.
    ///
    /// # Errors
    /// When the files cannot be read, are no authority's, or one of them is missing.
    pub fn read(directory: &Path) -> Result<Option<Self>, CertificateError> {
        let (certificate, key) = (directory.join(CERTIFICATE_FILE), directory.join(KEY_FILE));
        let half = |missing: PathBuf| {
            let detail =
                "it is missing beside the other half of the authority: bring it back, or use another directory";
            Err(CertificateError::Content { path: missing, detail: detail.to_owned() })
        };
        match (read_if_there(&certificate)?, read_if_there(&key)?) {
            (None, None) => Ok(None),
            (Some(_), None) => half(key),
            (None, Some(_)) => half(certificate),
            (Some(text), Some(secret)) => {
                let signer = KeyPair::from_pem(&secret).and_then(|key| Issuer::from_ca_cert_pem(&text, key));
                let detail = |error: rcgen::Error| format!("with {} it is no authority: {error}", key.display());
                let issuer = signer
                    .map_err(|error| CertificateError::Content { path: certificate.clone(), detail: detail(error) })?;
                Ok(Some(Self { certificate: text, issuer }))
            }
        }
    }

    /// Writes `ca.key`, for its owner only, and `ca.pem` into a directory.
    ///
    /// # Errors
    /// When one of them is there already, or cannot be written.
    pub fn write(&self, directory: &Path) -> Result<(), CertificateError> {
        write_new(&directory.join(KEY_FILE), &self.issuer.key().serialize_pem(), 0o600)?;
        write_new(&directory.join(CERTIFICATE_FILE), &self.certificate, 0o644)
    }

    /// Its certificate, PEM: what every node trusts.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// A certificate for a node that peers reach under these host names and addresses, for so many days. A node that had one
    /// keeps its signing key: what it has signed stays its own.
    ///
    /// # Errors
    /// When a name is none, or the signing key no ed25519 key.
    pub fn sign(
        &self,
        node: &str,
        hosts: &[String],
        days: u32,
        signing_key: Option<&str>,
    ) -> Result<NodeCertificate, CertificateError> {
        let key = KeyPair::generate().map_err(make)?;
        let signing_key = match signing_key {
            Some(pem) => KeyPair::from_pem_and_sign_algo(pem, &PKCS_ED25519),
            None => KeyPair::generate_for(&PKCS_ED25519),
        };
        let signing_key = signing_key.map_err(make)?;
        let mut params = CertificateParams::new(hosts.to_vec()).map_err(make)?;
        params.distinguished_name = name(node);
        last(&mut params, days);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        // Strict callers ask for it, Python from 3.13 on among them.
        params.use_authority_key_identifier_extension = true;
        let public = signing_key.public_key_raw().to_vec();
        params.custom_extensions = vec![CustomExtension::from_oid_content(SIGNING_KEY_OID, public)];
        let certificate = params.signed_by(&key, &self.issuer).map_err(make)?.pem();
        Ok(NodeCertificate { certificate, key: key.serialize_pem(), signing_key: signing_key.serialize_pem() })
    }
}

impl NodeCertificate {
    /// Writes `node.pem`, `node.key` and `signing.key` into a directory, the keys for their owner only.
    ///
    /// # Errors
    /// When one of them is there already, or cannot be written.
    pub fn write(&self, directory: &Path) -> Result<(), CertificateError> {
        write_new(&directory.join("node.pem"), &self.certificate, 0o644)?;
        write_new(&directory.join("node.key"), &self.key, 0o600)?;
        write_new(&directory.join("signing.key"), &self.signing_key, 0o600)
    }

    /// Puts them in the place of older ones. The key goes first: a node that reads in between finds a pair that does not
    /// match, keeps the one it has, and reads again.
    ///
    /// # Errors
    /// When one of them cannot be written.
    pub fn renew(&self, directory: &Path) -> Result<(), CertificateError> {
        for (file, text, mode) in [("node.key", &self.key, 0o600), ("node.pem", &self.certificate, 0o644)] {
            let (path, beside) = (directory.join(file), directory.join(format!("{file}.new")));
            let failed = |source| CertificateError::File { path: path.clone(), source };
            match fs::remove_file(&beside) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
                _ => write_new(&beside, text, mode)?,
            }
            fs::rename(&beside, &path).map_err(failed)?;
        }
        Ok(())
    }
}

/// Valid from a day ago, for clocks that are behind.
fn last(params: &mut CertificateParams, days: u32) {
    let now = OffsetDateTime::now_utc();
    params.not_before = now - Duration::days(1);
    params.not_after = now + Duration::days(i64::from(days));
}

fn read_if_there(path: &Path) -> Result<Option<String>, CertificateError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(CertificateError::File { path: path.to_path_buf(), source }),
    }
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), CertificateError> {
    let file = |source| CertificateError::File { path: path.to_path_buf(), source };
    let mut written = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(file)?;
    written.write_all(text.as_bytes()).and_then(|()| written.sync_all()).map_err(file)
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}

#[expect(clippy::needless_pass_by_value, reason = "it stands behind `map_err`")]
fn make(error: rcgen::Error) -> CertificateError {
    CertificateError::Make(error.to_string())
}
