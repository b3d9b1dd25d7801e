//! TLS that does not come about, in words that say what to do. The library's own words are all there is to tell the cases apart:
//! the tests of the node hold them against real handshakes (`node/src/server/incoming/tests.rs`).

use crate::address::Address;
use crate::way::host;
use crate::{ApiError, Code, reason};

/// `cause`: the innermost reason.
pub(crate) fn refused(address: &Address, cause: &str) -> ApiError {
    let tls = |message: String| ApiError::new(Code::Unauthenticated, reason::TLS_REFUSED, message);
    let says = |words: &[&str]| words.iter().any(|words| cause.contains(words));
    let name = address.authority().map(host).unwrap_or_default();
    if says(&["UnknownIssuer", "BadSignature"]) {
        return tls(format!(
            "the certificate of {address} was not signed by the authority of --ca (DSPEX_CA): name the ca.pem of that node's \
             cluster"
        ));
    }
    if says(&["not valid for name", "NotValidForName"]) {
        return tls(format!(
            "the certificate of {address} is not for {name} ({cause}): connect by a name that it is for, or make one for this \
             name with `dspex cert init --node NAME={name} --renew`"
        ));
    }
    if says(&["certificate expired", "certificate not valid yet", "Expired", "NotValidYet"]) {
        return tls(format!(
            "the certificate of {address} is not valid now ({cause}): make a new one with `dspex cert init --renew`, which the \
             node reads by itself, or set this machine's clock"
        ));
    }
    if says(&["invalid peer certificate"]) {
        return tls(format!("the certificate of {address} is not accepted: {cause}"));
    }
    if says(&["corrupt message"]) {
        return tls(format!(
            "what answers at {address} does not speak TLS: leave --ca (DSPEX_CA) out, or write http:// before the address"
        ));
    }
    if says(&["NoApplicationProtocol", "was not negotiated"]) {
        return tls(format!("what answers at {address} speaks TLS, but no gRPC: is it the port of api.listen (7400)?"));
    }
    if says(&["received fatal alert"]) {
        return tls(format!("{address} refuses TLS with this program: {cause}"));
    }
    ApiError::unavailable(reason::NODE_UNREACHABLE, format!("no node answers at {address}: {cause}"))
}

/// The other end answers a greeting without TLS by TLS.
pub(crate) fn needed(address: &Address) -> ApiError {
    ApiError::new(
        Code::Unauthenticated,
        reason::TLS_REFUSED,
        format!(
            "what answers at {address} speaks TLS: name the certificate of its authority with --ca (DSPEX_CA), most often a \
             ca.pem"
        ),
    )
}
