//! What PEM files hold.

use std::fs;
use std::path::Path;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::CertificateError;

/// All certificates of a file; there is at least one.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let pem = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(content(path, "there is no certificate in it (PEM is wanted)")),
    }
}

/// The first private key of a file.
pub(crate) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, CertificateError> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|_| content(path, "there is no private key in it"))
}

/// A file is not what its place wants.
#[expect(clippy::needless_pass_by_value, reason = "it stands behind `map_err`, with errors and texts")]
pub(crate) fn content(path: &Path, detail: impl ToString) -> CertificateError {
    CertificateError::Content { path: path.to_path_buf(), detail: detail.to_string() }
}

fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    fs::read(path).map_err(|source| CertificateError::File { path: path.to_path_buf(), source })
}
