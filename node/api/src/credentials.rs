//! What a client shows a node, and by what it knows the node.

use std::fmt;

use tonic::transport::Certificate;

use crate::address::Token;

/// A token, and the authority that the node's certificate must come from.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// Shown with every call.
    pub token: Token,
    /// Without one there is no TLS.
    pub ca: Option<Ca>,
}

impl From<Token> for Credentials {
    fn from(token: Token) -> Self {
        Self { token, ca: None }
    }
}

/// The certificates of the authorities that a client trusts, PEM.
#[derive(Clone)]
pub struct Ca(pub(crate) Certificate);

impl Ca {
    /// As a file holds them.
    ///
    /// # Errors
    /// When there is none.
    pub fn new(pem: &[u8]) -> Result<Self, String> {
        const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
        if !pem.windows(BEGIN.len()).any(|part| part == BEGIN) {
            return Err(
                "there is no certificate in it (PEM is wanted, like the ca.pem of `dspex cert init`)".to_owned()
            );
        }
        Ok(Self(Certificate::from_pem(pem)))
    }
}

impl fmt::Debug for Ca {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ca").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_no_certificate_is_no_authority() {
        assert!(Ca::new(b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n").is_ok());
        for text in [&b""[..], b"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n"] {
            assert!(Ca::new(text).expect_err("refused").contains("no certificate"));
        }
    }
}
