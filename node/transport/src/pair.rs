//! A node's certificate with its key, as they lie in two files.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use time::OffsetDateTime;

use crate::error::CertificateError;
use crate::inspection::{self, CertificateFacts};
use crate::pem;

/// An end that is nearer than this is said at every start and renewal.
const SOON_DAYS: i64 = 14;
const DAY: i64 = 24 * 3600;
/// Everybody on the machine.
const OTHERS: u32 = 0o007;

/// Where they lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PairFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// What they hold.
pub(crate) struct Pair {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
    pub(crate) facts: CertificateFacts,
}

impl PairFiles {
    /// Reads both. A certificate that nobody would accept any more is refused here, where the reason can be read.
    pub(crate) fn read(&self) -> Result<Pair, CertificateError> {
        let chain = pem::certificates(&self.certificate)?;
        let first: &[u8] = chain.first().map_or(&[], |first| first.as_ref());
        let facts = inspection::of_der(first).map_err(|detail| pem::content(&self.certificate, detail))?;
        self.check_end(facts.not_after)?;
        let key = pem::private_key(&self.key)?;
        self.warn_of_readers();
        Ok(Pair { chain, key, facts })
    }

    /// What rustls has against the two, by the file at fault.
    pub(crate) fn refused(&self, error: &rustls::Error) -> CertificateError {
        match error {
            rustls::Error::InconsistentKeys(_) => {
                pem::content(&self.key, format!("it is not the key of the certificate {}", self.certificate.display()))
            }
            other => pem::content(&self.certificate, other),
        }
    }

    fn check_end(&self, not_after: i64) -> Result<(), CertificateError> {
        let day = OffsetDateTime::from_unix_timestamp(not_after).map(|end| end.date().to_string());
        let day = day.unwrap_or_else(|_| not_after.to_string());
        let left = not_after - unix_now();
        if left < 0 {
            return Err(pem::content(
                &self.certificate,
                format!("it has expired ({day}); `dspex cert init --renew` makes a new one"),
            ));
        }
        if left < SOON_DAYS * DAY {
            tracing::warn!(
                file = %self.certificate.display(),
                ends = day,
                "the certificate ends soon: `dspex cert init --renew` makes a new one, which is read without a restart"
            );
        }
        Ok(())
    }

    fn warn_of_readers(&self) {
        let mode = fs::metadata(&self.key).map_or(0, |found| found.permissions().mode());
        if mode & OTHERS != 0 {
            tracing::warn!(
                file = %self.key.display(),
                "everybody on this machine can read the private key; chmod 600 mends that"
            );
        }
    }
}

fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
