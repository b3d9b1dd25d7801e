//! The certificates that a file names: whether they are valid now, for how long, and for this node.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use dspex_transport::{CertificateFacts, inspect};

use super::finding::Finding;
use crate::configuration::Configuration;

const CHECK: &str = "certificates";
const DAY: i64 = 24 * 3600;
/// There is time to renew it.
const DAYS_WANTED: i64 = 30;

/// A file that a key names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CertificateFact {
    pub key: &'static str,
    pub file: PathBuf,
    pub content: Content,
}

/// What is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// A certificate, and the name that peers dial, which it must be for; an authority's is for none.
    Certificate(CertificateFacts, Option<String>),
    /// A key: its mode.
    Key(u32),
    Unusable(String),
}

/// Reads what the file names.
pub(super) fn gather(configuration: &Configuration) -> Vec<CertificateFact> {
    let advertise = configuration.peers().ok().flatten().map(|peers| peers.advertise);
    let certificates = configuration.certificate_files().into_iter().map(|(key, file)| {
        let content = match inspect(&file) {
            Ok(facts) => {
                let dialled = (key == "peers.certificate").then(|| advertise.as_deref().map(host)).flatten();
                Content::Certificate(facts, dialled)
            }
            Err(error) => Content::Unusable(error.to_string()),
        };
        CertificateFact { key, file, content }
    });
    let keys = configuration.key_files().into_iter().map(|(key, file)| {
        let content = match std::fs::metadata(&file) {
            Ok(metadata) => Content::Key(metadata.mode() & 0o7777),
            Err(error) => Content::Unusable(format!("{}: {error}", file.display())),
        };
        CertificateFact { key, file, content }
    });
    certificates.chain(keys).collect()
}

/// HOST of HOST:PORT, an IPv6 address without its brackets.
fn host(address: &str) -> String {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.trim_matches(['[', ']']).to_owned()
}

/// What the facts say at a time, in Unix seconds.
pub(super) fn check(facts: &[CertificateFact], now: u64) -> Vec<Finding> {
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    facts.iter().map(|fact| one(fact, now)).collect()
}

fn one(fact: &CertificateFact, now: i64) -> Finding {
    let (key, shown) = (fact.key, fact.file.display());
    let renew = "make a new one: `dspex cert init --renew`; a running node reads it by itself";
    match &fact.content {
        Content::Unusable(why) => Finding::failure(CHECK, format!("{key}: {why}"), "make it with `dspex cert init`"),
        Content::Key(mode) if mode & 0o077 != 0 => {
            let says = format!("{key}: {shown} is open to other users (mode {mode:o})");
            Finding::warning(CHECK, says, format!("chmod 600 {shown}"))
        }
        Content::Key(_) => Finding::ok(CHECK, format!("{key}: {shown} is this user's own")),
        Content::Certificate(facts, dialled) => {
            let until = date(facts.not_after);
            if facts.not_after <= now {
                return Finding::failure(CHECK, format!("{key}: {shown} has ended on {until}"), renew);
            }
            if facts.not_before > now {
                let says = format!("{key}: {shown} is valid from {} on only", date(facts.not_before));
                return Finding::failure(CHECK, says, "set this machine's clock, or make a new one");
            }
            if let Some(name) = dialled.as_ref().filter(|name| !is_for(&facts.hosts, name)) {
                let says = format!("{key}: {shown} is for {}, and peers dial {name}", facts.hosts.join(", "));
                return Finding::failure(
                    CHECK,
                    says,
                    "make one for the name in peers.advertise: `dspex cert init --renew`",
                );
            }
            let says = format!("{key}: {shown} is valid until {until}");
            if facts.not_after < now.saturating_add(DAYS_WANTED * DAY) {
                return Finding::warning(CHECK, says, renew);
            }
            Finding::ok(CHECK, says)
        }
    }
}

fn is_for(hosts: &[String], name: &str) -> bool {
    hosts.iter().any(|host| {
        let wild = host.strip_prefix("*.").zip(name.split_once('.'));
        host.eq_ignore_ascii_case(name) || wild.is_some_and(|(domain, (_, rest))| domain.eq_ignore_ascii_case(rest))
    })
}

fn date(seconds: i64) -> String {
    let shown = dspex_cli::date(u64::try_from(seconds).unwrap_or_default().saturating_mul(1000));
    shown.split(['T', ' ']).next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::State;

    const NOW: i64 = 1_800_000_000;

    fn certificate(not_before: i64, not_after: i64, dialled: Option<&str>) -> State {
        let facts = CertificateFacts {
            subject: "node-1".to_owned(),
            issuer: "authority".to_owned(),
            hosts: vec!["node-1.example".to_owned(), "*.inside".to_owned()],
            not_before,
            not_after,
            is_authority: false,
            signing_key: None,
        };
        let content = Content::Certificate(facts, dialled.map(str::to_owned));
        one(&CertificateFact { key: "peers.certificate", file: "node.pem".into(), content }, NOW).state
    }

    #[test]
    fn a_certificate_is_valid_now_and_for_a_while() {
        assert_eq!(certificate(NOW - DAY, NOW + 100 * DAY, None), State::Ok);
        assert_eq!(certificate(NOW - DAY, NOW + 3 * DAY, None), State::Warning);
        assert_eq!(certificate(NOW - DAY, NOW - 1, None), State::Failure);
        assert_eq!(certificate(NOW + DAY, NOW + 100 * DAY, None), State::Failure);
    }

    #[test]
    fn a_certificate_is_for_the_name_that_peers_dial() {
        let of = |name| certificate(NOW - DAY, NOW + 100 * DAY, Some(name));
        assert_eq!((of("node-1.example"), of("NODE-1.example"), of("a.inside")), (State::Ok, State::Ok, State::Ok));
        assert_eq!(
            (of("node-2.example"), of("a.b.inside"), of("10.0.0.1")),
            (State::Failure, State::Failure, State::Failure)
        );
        assert_eq!((host("node-1.example:7410"), host("[::1]:7410")), ("node-1.example".to_owned(), "::1".to_owned()));
    }

    #[test]
    fn a_key_is_its_owners() {
        let of = |content| one(&CertificateFact { key: "peers.key", file: "node.key".into(), content }, NOW).state;
        assert_eq!((of(Content::Key(0o600)), of(Content::Key(0o644))), (State::Ok, State::Warning));
        assert_eq!(of(Content::Unusable("node.key: no such file".to_owned())), State::Failure);
    }
}
