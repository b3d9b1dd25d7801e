//! Under which names a node's pages may be asked for. A page of another site must not reach the node through the user's browser,
//! and a name is what a browser cannot lie about.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, Uri, header};
use dspex_transport::ServerTls;

/// Asked each time: a renewed certificate may have others.
type Hosts = Arc<dyn Fn() -> Arc<[String]> + Send + Sync>;

/// The names of a node.
#[derive(Clone)]
pub(super) struct Names {
    /// Those of its certificate; `None`: it answers its own machine only.
    certified: Option<Hosts>,
}

impl Names {
    pub(super) fn of(tls: Option<&ServerTls>) -> Self {
        let hosts = |tls: ServerTls| -> Hosts { Arc::new(move || tls.hosts()) };
        Self { certified: tls.cloned().map(hosts) }
    }

    #[cfg(test)]
    pub(super) fn certified(hosts: &[&str]) -> Self {
        let hosts: Arc<[String]> = hosts.iter().map(|host| (*host).to_owned()).collect();
        Self { certified: Some(Arc::new(move || Arc::clone(&hosts))) }
    }

    /// Whether a request is for this node, and from a page of its own or from no page at all.
    pub(super) fn admit(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
        let named = uri.authority().map(|authority| authority.as_str());
        let Some(host) = text(header::HOST).or(named) else { return false };
        let origin_is_own = match text(header::ORIGIN) {
            None => true,
            Some(origin) => origin
                .split_once("://")
                .is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host) || self.is_own(name_of(authority))),
        };
        self.is_asked_for(name_of(host)) && origin_is_own
    }

    /// No site can have a name that consists of an address, so probes may ask by the address that they know.
    fn is_asked_for(&self, name: &str) -> bool {
        self.is_own(name) || self.certified.is_some() && name.parse::<IpAddr>().is_ok()
    }

    fn is_own(&self, name: &str) -> bool {
        let local = ["localhost", "127.0.0.1", "::1"].iter().any(|local| name.eq_ignore_ascii_case(local));
        local || self.certified.as_ref().is_some_and(|hosts| hosts().iter().any(|host| covers(host, name)))
    }
}

/// Of an authority, which may have a port.
fn name_of(authority: &str) -> &str {
    match authority.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        Some((address, _)) => address,
        None => authority.rsplit_once(':').map_or(authority, |(name, _)| name),
    }
}

/// A certificate may be for one label of any name: `*.example`.
fn covers(host: &str, name: &str) -> bool {
    match host.strip_prefix("*.") {
        Some(parent) => name.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(parent)),
        None => host.eq_ignore_ascii_case(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(names: &Names, host: &str, origin: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().expect("a header"));
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().expect("a header"));
        }
        names.admit(&Uri::from_static("/metrics"), &headers)
    }

    #[test]
    fn without_a_certificate_only_this_machine_is_answered() {
        let local = Names::of(None);
        for host in ["localhost", "LOCALHOST:7480", "127.0.0.1:7480", "[::1]:7480", "[::1]"] {
            assert!(admits(&local, host, None), "{host}");
        }
        for host in ["n.example:7480", "10.0.0.1:7480", "localhost.evil.example", ""] {
            assert!(!admits(&local, host, None), "{host}");
        }
        assert!(!local.admit(&Uri::from_static("/metrics"), &HeaderMap::new()));
    }

    #[test]
    fn with_a_certificate_its_names_and_every_address_are_answered() {
        let names = Names::certified(&["n.example", "*.cluster.example"]);
        for host in ["n.example:7480", "a.cluster.example", "10.0.0.1:7480", "[fd00::1]:7480", "localhost:7480"] {
            assert!(admits(&names, host, None), "{host}");
        }
        for host in ["evil.example:7480", "cluster.example", "a.b.cluster.example"] {
            assert!(!admits(&names, host, None), "{host}");
        }
    }

    #[test]
    fn a_page_of_another_site_is_refused_even_where_that_has_an_address_for_a_name() {
        let names = Names::certified(&["n.example"]);
        assert!(admits(&names, "10.0.0.1:7480", Some("https://10.0.0.1:7480")));
        assert!(admits(&names, "10.0.0.1:7480", Some("https://n.example")));
        for origin in ["https://10.0.0.2:7480", "https://evil.example", "null"] {
            assert!(!admits(&names, "10.0.0.1:7480", Some(origin)), "{origin}");
        }
    }
}
