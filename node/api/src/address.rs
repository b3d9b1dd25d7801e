//! Where a node is, and what to show it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

/// Where a node listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// A Unix socket: an embedded node.
    Unix(PathBuf),
    /// Host and port: by TLS where an authority is given, without on this machine.
    Tcp(String),
    /// Host and port, by TLS.
    Tls(String),
    /// Host and port, without TLS, wherever that is.
    Plain(String),
}

impl Address {
    /// Host and port, where it has them.
    pub fn authority(&self) -> Option<&str> {
        match self {
            Self::Unix(_) => None,
            Self::Tcp(authority) | Self::Tls(authority) | Self::Plain(authority) => Some(authority),
        }
    }
}

impl FromStr for Address {
    type Err = String;

    /// `unix:PATH`, `HOST:PORT`, `https://HOST:PORT` or `http://HOST:PORT`.
    fn from_str(text: &str) -> Result<Self, String> {
        let refused = |why: &str| Err(format!("the address {text:?} {why}; it is written unix:PATH or HOST:PORT"));
        if let Some(path) = text.strip_prefix("unix:") {
            // unix:///path is what gRPC writes for an absolute path.
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.is_empty() { refused("names no path") } else { Ok(Self::Unix(path.into())) };
        }
        let (of, authority): (fn(String) -> Self, _) = match text.split_once("://") {
            Some(("https", rest)) => (Self::Tls, rest.trim_end_matches('/')),
            Some(("http", rest)) => (Self::Plain, rest.trim_end_matches('/')),
            _ => (Self::Tcp, text.trim_end_matches('/')),
        };
        if authority.contains([',', ';', ' ']) {
            return refused("names more than one node; one is enough, it knows the others");
        }
        match authority.rsplit_once(':') {
            Some((host, port))
                if !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok_and(|port| port > 0) =>
            {
                Ok(of(authority.to_owned()))
            }
            _ => refused("names no host and port"),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(authority) => f.write_str(authority),
            Self::Tls(authority) => write!(f, "https://{authority}"),
            Self::Plain(authority) => write!(f, "http://{authority}"),
        }
    }
}

impl From<&Path> for Address {
    fn from(path: &Path) -> Self {
        Self::Unix(path.to_owned())
    }
}

/// Shows the token with every call, where there is one. Its text never appears in a debug print.
#[derive(Clone, Default)]
pub struct Token(Option<MetadataValue<Ascii>>);

impl Token {
    /// A token as its file holds it.
    ///
    /// # Errors
    /// When it cannot stand in a header.
    pub fn new(text: &str) -> Result<Self, String> {
        let mut value: MetadataValue<Ascii> =
            format!("Bearer {}", text.trim()).parse().map_err(|_| "a token is printable ASCII".to_owned())?;
        value.set_sensitive(true);
        Ok(Self(Some(value)))
    }

    /// Whether there is one.
    pub fn is_set(&self) -> bool {
        self.0.is_some()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_set() { "Token(set)" } else { "Token(none)" })
    }
}

impl Interceptor for Token {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_name_a_socket_or_a_host_and_port() {
        assert_eq!("unix:/a/b".parse(), Ok(Address::Unix("/a/b".into())));
        assert_eq!("unix:///a/b".parse(), Ok(Address::Unix("/a/b".into())));
        assert_eq!("localhost:7400".parse(), Ok(Address::Tcp("localhost:7400".to_owned())));
        for written in ["http://localhost:7400", "http://localhost:7400/"] {
            assert_eq!(written.parse(), Ok(Address::Plain("localhost:7400".to_owned())), "{written}");
        }
        let protected = Address::Tls("n.example:7400".to_owned());
        assert_eq!("https://n.example:7400/".parse(), Ok(protected.clone()));
        assert_eq!(protected.to_string(), "https://n.example:7400");
        assert_eq!("[::1]:7400".parse(), Ok(Address::Tcp("[::1]:7400".to_owned())));
        for written in [
            "",
            "unix:",
            "localhost",
            "localhost:",
            ":7400",
            "localhost:0",
            "localhost:99999",
            "https://a",
            "ftp://a:1",
        ] {
            assert!(written.parse::<Address>().is_err(), "{written}");
        }
        let several = "a:7400,b:7400".parse::<Address>().expect_err("one is enough");
        assert!(several.contains("names more than one node; one is enough"), "{several}");
    }

    #[test]
    fn a_token_never_shows() {
        let token = Token::new("s3cret\n").expect("a token");
        assert_eq!(format!("{token:?}"), "Token(set)");
        assert!(Token::new("a\nb").is_err());
    }
}
