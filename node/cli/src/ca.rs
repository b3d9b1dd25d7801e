//! The authority that a node's certificate must come from: the file of `--ca`.

use std::path::Path;

use dspex_api::{Address, Ca};

use crate::error::CommandError;
use crate::reading::{self, TEXT_BYTES_MAX};

/// What the file holds, where there is one and the way to the node could need it.
pub fn find(file: Option<&Path>, address: &Address) -> Result<Option<Ca>, CommandError> {
    let Some(file) = file.filter(|_| matches!(address, Address::Tcp(_) | Address::Tls(_))) else { return Ok(None) };
    let refused =
        |why: &dyn std::fmt::Display| CommandError::usage(format!("--ca (DSPEX_CA): {}: {why}", file.display()));
    let pem = reading::file(file, TEXT_BYTES_MAX).map_err(|error| refused(&error))?;
    Ca::new(&pem).map(Some).map_err(|why| refused(&why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_holds_no_certificate_is_named_and_a_socket_needs_none() {
        let missing = Some(Path::new("/nonexistent/ca.pem"));
        let tcp = Address::Tcp("127.0.0.1:7400".to_owned());
        let error = find(missing, &tcp).expect_err("refused");
        assert!(error.message.contains("/nonexistent/ca.pem"), "{error}");
        assert!(find(None, &tcp).expect("no authority").is_none());
        assert!(find(missing, &Address::Unix("/run/node.sock".into())).expect("no authority").is_none());
        let error = find(Some(Path::new("/dev/zero")), &tcp).expect_err("refused");
        assert!(error.message.contains("longer than 1 MiB"), "{error}");
        let empty = tempfile::NamedTempFile::new().expect("a file");
        let error = find(Some(empty.path()), &tcp).expect_err("refused");
        assert!(error.message.contains("no certificate"), "{error}");
    }
}
