//! Who may call: on TCP every call shows the token, on loopback, too. Probes need none.

use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode, header};
use dspex_api::{ApiError, Code, reason};
use futures::future::{Either, Ready, ready};
use tower::{Layer, Service};

/// The token, and whom it lets in.
#[derive(Clone)]
pub(super) struct Access {
    expected: Arc<str>,
    speaks_grpc: bool,
}

impl Access {
    pub(super) fn new(token: &str) -> Self {
        Self { expected: format!("Bearer {token}").into(), speaks_grpc: false }
    }

    pub(super) fn for_grpc(self) -> Self {
        Self { speaks_grpc: true, ..self }
    }

    pub(super) fn for_http(self) -> Self {
        Self { speaks_grpc: false, ..self }
    }

    /// Why the request is refused.
    fn refusal(&self, request: &Request<Body>) -> Option<Refusal> {
        if !self.speaks_grpc {
            if !is_local(request) {
                return Some(Refusal::Foreign);
            }
            // Kubernetes' probes have no token, and these pages say nothing.
            if request.method() == Method::GET && request.uri().path().starts_with("/healthz/") {
                return None;
            }
        }
        match request.headers().get(header::AUTHORIZATION) {
            Some(shown) if is_equal(shown.as_bytes(), self.expected.as_bytes()) => None,
            Some(_) => Some(Refusal::Wrong),
            None => Some(Refusal::Missing),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Missing,
    Wrong,
    Foreign,
}

impl Refusal {
    fn message(self) -> &'static str {
        match self {
            Self::Missing => {
                "this node asks for a token: give its file with --token-file (DSPEX_TOKEN_FILE); the node keeps it in its data \
                 directory"
            }
            Self::Wrong => "the token is not this node's: its file is `token` in the node's data directory",
            Self::Foreign => "this address answers its own machine only",
        }
    }

    fn response(self, speaks_grpc: bool) -> Response<Body> {
        if speaks_grpc {
            let error = ApiError::new(Code::Unauthenticated, reason::UNAUTHENTICATED, self.message());
            return tonic::Status::from(error).into_http();
        }
        let status = if self == Self::Foreign { StatusCode::FORBIDDEN } else { StatusCode::UNAUTHORIZED };
        let mut response = Response::new(Body::from(format!("{}\n", self.message())));
        *response.status_mut() = status;
        response
    }
}

/// A page of another site must not reach the node through the user's browser: neither under a foreign name (Host) nor with a
/// foreign origin.
fn is_local(request: &Request<Body>) -> bool {
    let named = request.uri().authority().map(|authority| authority.as_str().to_owned());
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).map(str::to_owned).or(named);
    let name = |authority: &str| authority.rsplit_once(':').map_or(authority, |(name, _)| name).to_ascii_lowercase();
    let local = |name: &str| matches!(name, "localhost" | "127.0.0.1" | "[::1]");
    let origin_is_local = match request.headers().get(header::ORIGIN).map(|origin| origin.to_str()) {
        None => true,
        Some(Ok(origin)) => origin.split_once("://").is_some_and(|(_, authority)| local(&name(authority))),
        Some(Err(_)) => false,
    };
    host.is_some_and(|host| local(&name(&host))) && origin_is_local
}

/// In a time that does not depend on where they differ.
fn is_equal(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

impl<S> Layer<S> for Access {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { access: self.clone(), inner }
    }
}

/// A service behind the token.
#[derive(Clone)]
pub(super) struct Guarded<S> {
    access: Access,
    inner: S,
}

impl<S> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<Response<Body>, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match self.access.refusal(&request) {
            None => Either::Left(self.inner.call(request)),
            Some(refusal) => Either::Right(ready(Ok(refusal.response(self.access.speaks_grpc)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(path: &str, headers: &[(&str, &str)]) -> Request<Body> {
        let mut builder = Request::builder().uri(path);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(Body::empty()).expect("a request")
    }

    #[test]
    fn every_call_shows_the_token_and_probes_need_none() {
        let access = Access::new("abc").for_http();
        let host = ("host", "127.0.0.1:7480");
        assert_eq!(access.refusal(&request("/metrics", &[host])), Some(Refusal::Missing));
        assert_eq!(
            access.refusal(&request("/metrics", &[host, ("authorization", "Bearer abd")])),
            Some(Refusal::Wrong)
        );
        assert_eq!(access.refusal(&request("/metrics", &[host, ("authorization", "Bearer abc")])), None);
        assert_eq!(access.refusal(&request("/healthz/live", &[host])), None);
        let grpc = Access::new("abc").for_grpc();
        assert_eq!(grpc.refusal(&request("/dspex.v1.Runs/List", &[])), Some(Refusal::Missing));
        assert_eq!(grpc.refusal(&request("/healthz/live", &[])), Some(Refusal::Missing));
    }

    #[test]
    fn a_page_of_another_site_is_refused_whatever_it_shows() {
        let access = Access::new("abc").for_http();
        let token = ("authorization", "Bearer abc");
        for headers in [
            vec![("host", "evil.example:7480"), token],
            vec![token],
            vec![("host", "localhost:7480"), ("origin", "https://evil.example"), token],
        ] {
            assert_eq!(access.refusal(&request("/metrics", &headers)), Some(Refusal::Foreign), "{headers:?}");
        }
        let own = [("host", "localhost:7480"), ("origin", "http://localhost:7480"), token];
        assert_eq!(access.refusal(&request("/metrics", &own)), None);
    }
}
