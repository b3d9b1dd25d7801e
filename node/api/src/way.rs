//! The way to a node: whether TLS is spoken on it. Decided before anything is sent, so that a token never goes over a network
//! in the clear because an option was forgotten.

use std::net::IpAddr;
use std::path::PathBuf;

use crate::address::Address;
use crate::credentials::Ca;
use crate::{ApiError, reason};

/// How a node is reached.
#[derive(Debug, Clone)]
pub(crate) enum Way {
    Unix(PathBuf),
    /// Host and port.
    Plain(String),
    /// Host and port, and by what the node is known.
    Tls(String, Ca),
}

impl Way {
    pub(crate) fn to(address: &Address, ca: Option<&Ca>) -> Result<Self, ApiError> {
        match (address, ca) {
            (Address::Unix(path), _) => Ok(Self::Unix(path.clone())),
            (Address::Plain(authority), _) => Ok(Self::Plain(authority.clone())),
            (Address::Tcp(authority) | Address::Tls(authority), Some(ca)) => {
                Ok(Self::Tls(authority.clone(), ca.clone()))
            }
            (Address::Tcp(authority), None) if is_local(authority) => Ok(Self::Plain(authority.clone())),
            (Address::Tcp(authority), None) => Err(ApiError::invalid(
                reason::REQUEST_INVALID,
                format!(
                    "{authority} is another machine, where a node speaks TLS: name the certificate of its authority with --ca \
                     (DSPEX_CA), most often a ca.pem; http://{authority} would show the token to the network"
                ),
            )),
            (Address::Tls(authority), None) => Err(ApiError::invalid(
                reason::REQUEST_INVALID,
                format!(
                    "https://{authority} is reached by TLS: name the certificate of its authority with --ca (DSPEX_CA), most \
                     often a ca.pem"
                ),
            )),
        }
    }
}

/// Whether what goes there stays on this machine.
fn is_local(authority: &str) -> bool {
    let host = host(authority);
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The host of an authority, without the brackets around an IPv6 address.
pub(crate) fn host(authority: &str) -> &str {
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(address: &str, ca: bool) -> Result<&'static str, String> {
        let ca = ca.then(|| Ca::new(b"-----BEGIN CERTIFICATE-----").expect("taken for one"));
        let address = address.parse().expect("an address");
        match Way::to(&address, ca.as_ref()) {
            Ok(Way::Unix(_)) => Ok("unix"),
            Ok(Way::Plain(_)) => Ok("plain"),
            Ok(Way::Tls(..)) => Ok("tls"),
            Err(error) => Err(error.message),
        }
    }

    #[test]
    fn tls_is_spoken_where_an_authority_is_given_and_nothing_leaves_the_machine_without_it() {
        for (address, without, with) in [
            ("unix:/a", "unix", "unix"),
            ("localhost:7400", "plain", "tls"),
            ("127.0.0.2:7400", "plain", "tls"),
            ("[::1]:7400", "plain", "tls"),
            ("http://n.example:7400", "plain", "plain"),
        ] {
            assert_eq!(way(address, false).as_deref(), Ok(without), "{address}");
            assert_eq!(way(address, true).as_deref(), Ok(with), "{address}");
        }
        for address in ["n.example:7400", "10.0.0.1:7400", "https://127.0.0.1:7400"] {
            assert_eq!(way(address, true).as_deref(), Ok("tls"), "{address}");
            let refused = way(address, false).expect_err(address);
            assert!(refused.contains("--ca (DSPEX_CA)"), "{refused}");
        }
    }
}
