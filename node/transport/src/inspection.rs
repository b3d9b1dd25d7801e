//! What a certificate says, for people.

use std::path::Path;

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::Pem;

use crate::certificates::SIGNING_KEY_OID;
use crate::error::CertificateError;

/// A certificate in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Whom it is for.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// Host names and addresses that it is valid for.
    pub hosts: Vec<String>,
    /// Unix seconds.
    pub not_before: i64,
    /// Unix seconds.
    pub not_after: i64,
    /// Whether it signs others.
    pub is_authority: bool,
    /// The node's signing key that it binds, ed25519.
    pub signing_key: Option<[u8; 32]>,
}

/// Reads the first certificate of a PEM file.
///
/// # Errors
/// When the file cannot be read, or is none.
pub fn inspect(path: &Path) -> Result<CertificateFacts, CertificateError> {
    let text = std::fs::read(path).map_err(|source| CertificateError::File { path: path.to_path_buf(), source })?;
    let content = |detail: String| CertificateError::Content { path: path.to_path_buf(), detail };
    let pem = Pem::iter_from_buffer(&text)
        .next()
        .and_then(Result::ok)
        .filter(|pem| pem.label == "CERTIFICATE")
        .ok_or_else(|| content("it holds no certificate in PEM".to_owned()))?;
    let certificate = pem.parse_x509().map_err(|error| content(error.to_string()))?;
    facts(&certificate).map_err(content)
}

/// The same of a certificate's own bytes.
pub(crate) fn of_der(der: &[u8]) -> Result<CertificateFacts, String> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).map_err(|error| error.to_string())?;
    facts(&certificate)
}

fn facts(certificate: &X509Certificate<'_>) -> Result<CertificateFacts, String> {
    let names = certificate.subject_alternative_name().map_err(|error| error.to_string())?;
    let names = names.map(|names| names.value.general_names.clone()).unwrap_or_default();
    let common = |name: &x509_parser::x509::X509Name<'_>| {
        let common = name.iter_common_name().next().and_then(|common| common.as_str().ok());
        common.map_or_else(|| name.to_string(), str::to_owned)
    };
    let oid: Vec<String> = SIGNING_KEY_OID.iter().map(u64::to_string).collect();
    let bound = certificate.extensions().iter().find(|extension| extension.oid.to_id_string() == oid.join("."));
    Ok(CertificateFacts {
        subject: common(certificate.subject()),
        issuer: common(certificate.issuer()),
        hosts: names.iter().filter_map(host).collect(),
        not_before: certificate.validity().not_before.timestamp(),
        not_after: certificate.validity().not_after.timestamp(),
        is_authority: certificate.is_ca(),
        signing_key: bound.and_then(|extension| extension.value.try_into().ok()),
    })
}

fn host(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let four = <[u8; 4]>::try_from(*bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string());
            let sixteen = <[u8; 16]>::try_from(*bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string());
            four.or(sixteen).ok()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Authority;

    #[test]
    fn a_certificate_says_for_whom_it_is_and_what_it_binds() {
        let directory = tempfile::tempdir().expect("a directory");
        let authority = Authority::create("c").expect("an authority");
        let hosts = ["n.example".to_owned(), "10.0.0.1".to_owned()];
        let first = authority.sign("n", &hosts, 30, None).expect("signed");
        first.write(directory.path()).expect("written");
        let facts = inspect(&directory.path().join("node.pem")).expect("readable");
        assert_eq!((facts.subject.as_str(), facts.issuer.as_str()), ("n", "DSPex cluster c"));
        assert_eq!(facts.hosts, hosts);
        assert_eq!(facts.not_after - facts.not_before, 31 * 24 * 3600);
        assert!(!facts.is_authority && facts.signing_key.is_some());

        let again = authority.sign("n", &hosts, 60, Some(&first.signing_key)).expect("signed");
        again.renew(directory.path()).expect("renewed");
        let renewed = inspect(&directory.path().join("node.pem")).expect("readable");
        assert_eq!(renewed.signing_key, facts.signing_key, "the node keeps its signing key");
        assert!(renewed.not_after > facts.not_after);
        assert!(inspect(&directory.path().join("node.key")).is_err(), "a key is no certificate");
    }
}
