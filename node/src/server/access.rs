//! Who may call: on TCP every call shows a token, on loopback, too. Probes need none.

use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use dspex_api::{ApiError, Code, reason};
use dspex_consensus::Consensus;
use dspex_model::{Digest, Role};
use futures::TryFutureExt;
use futures::future::{Either, MapOk, Ready, ready};
use tower::{Layer, Service};

use super::incoming::Standing;
use super::names::Names;
use super::own_token::OwnToken;
use super::principal::{Principal, is_of_node, needed};

/// Who is let in: with the node's own token, or with one that the cluster knows.
#[derive(Clone)]
pub(super) struct Access {
    own: Arc<OwnToken>,
    tokens: Arc<dyn Tokens>,
    names: Names,
    speaks_grpc: bool,
    /// The node has no state to answer from.
    is_worker: bool,
}

/// The cluster's tokens.
pub(super) trait Tokens: Send + Sync {
    /// Whose secret has this digest, if it is valid now.
    fn find(&self, secret: &Digest) -> Option<Principal>;
}

impl Tokens for Consensus {
    fn find(&self, secret: &Digest) -> Option<Principal> {
        let now_ms = self.now_ms();
        self.read_stale(|state| {
            let (_, token) = state.token_of(secret)?;
            let now_ms = now_ms.max(state.log_time_ms());
            token.is_valid(now_ms).then(|| Principal { name: token.name.clone(), role: token.role })
        })
    }
}

impl Access {
    pub(super) fn new(own: Arc<OwnToken>, tokens: Arc<dyn Tokens>, names: Names) -> Self {
        Self { own, tokens, names, speaks_grpc: false, is_worker: false }
    }

    /// Of a node without a vote.
    pub(super) fn of_worker(self, is_worker: bool) -> Self {
        Self { is_worker, ..self }
    }

    pub(super) fn for_grpc(self) -> Self {
        Self { speaks_grpc: true, ..self }
    }

    pub(super) fn for_http(self) -> Self {
        Self { speaks_grpc: false, ..self }
    }

    /// Who asks, or why the request is refused. Nobody has to be known for a probe.
    fn judge(&self, request: &Request<Body>) -> Result<Option<Principal>, Refusal> {
        // A browser says of which page it asks. Programs do not, and may ask under any name: through a tunnel, for instance.
        let is_a_page = !self.speaks_grpc || request.headers().contains_key(header::ORIGIN);
        if is_a_page && !self.names.admit(request.uri(), request.headers()) {
            return Err(Refusal::Foreign);
        }
        // Kubernetes' probes have no token, and these pages say nothing.
        if !self.speaks_grpc && request.method() == Method::GET && request.uri().path().starts_with("/healthz/") {
            return Ok(None);
        }
        let shown = request.headers().get(header::AUTHORIZATION).ok_or(Refusal::Missing)?;
        let secret = shown.as_bytes().strip_prefix(b"Bearer ").ok_or(Refusal::Wrong)?;
        // Digests are compared, not secrets: the time tells nothing of them.
        let digest = Digest::of(secret);
        let principal = if self.own.is(&digest) {
            Principal { name: "node token".to_owned(), role: Role::Admin }
        } else {
            self.tokens.find(&digest).ok_or(Refusal::Wrong)?
        };
        let needed = needed(request.uri().path());
        if principal.role < needed {
            return Err(Refusal::Forbidden { has: principal.role, needed });
        }
        if self.is_worker && !is_of_node(request.uri().path()) {
            return Err(Refusal::NoVote);
        }
        Ok(Some(principal))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Missing,
    Wrong,
    Foreign,
    NoVote,
    Forbidden { has: Role, needed: Role },
}

impl Refusal {
    fn message(self) -> String {
        match self {
            Self::Missing => {
                "this node asks for a token: give its file with --token-file (DSPEX_TOKEN_FILE); the node keeps \
                              its own in its data directory, and an admin makes others with `dspex token create`"
                    .to_owned()
            }
            Self::Wrong => {
                "the token is not known here, or it has ended: `token` in the node's data directory is the node's \
                            own, and an admin makes others with `dspex token create`"
                    .to_owned()
            }
            Self::Foreign => {
                "this node does not answer other sites' pages, nor under a name that is not its own: ask for localhost on its \
                 machine, or for a name of its certificate"
                    .to_owned()
            }
            Self::NoVote => {
                "this node only works for its cluster, and has nothing of what the cluster knows: ask one that votes; `dspex member list` \
                 there shows all"
                    .to_owned()
            }
            Self::Forbidden { has, needed } => format!(
                "the token's role is {}, and this needs {}: ask an admin for a token with that role",
                has.name(),
                needed.name()
            ),
        }
    }

    fn response(self, speaks_grpc: bool) -> Response<Body> {
        // Of the two a page understands HTTP only.
        if speaks_grpc && self != Self::Foreign {
            let (code, reason) = match self {
                Self::Forbidden { .. } => (Code::PermissionDenied, reason::PERMISSION_DENIED),
                Self::NoVote => (Code::FailedPrecondition, reason::NODE_HAS_NO_VOTE),
                _ => (Code::Unauthenticated, reason::UNAUTHENTICATED),
            };
            return tonic::Status::from(ApiError::new(code, reason, self.message())).into_http();
        }
        let status = match self {
            Self::Foreign | Self::Forbidden { .. } | Self::NoVote => StatusCode::FORBIDDEN,
            Self::Missing | Self::Wrong => StatusCode::UNAUTHORIZED,
        };
        let mut response = Response::new(Body::from(format!("{}\n", self.message())));
        *response.status_mut() = status;
        response
    }
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
    type Future = Either<MapOk<S::Future, Finish>, Ready<Result<Response<Body>, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let as_it_is: Finish = |answer| answer;
        let for_strangers = if request.version() < Version::HTTP_2 { last } else { as_it_is };
        match self.access.judge(&request) {
            Ok(Some(principal)) => {
                if let Some(standing) = request.extensions().get::<Standing>() {
                    standing.let_in();
                }
                request.extensions_mut().insert(principal);
                Either::Left(self.inner.call(request).map_ok(as_it_is))
            }
            Ok(None) => Either::Left(self.inner.call(request).map_ok(for_strangers)),
            Err(refusal) => Either::Right(ready(Ok(for_strangers(refusal.response(self.access.speaks_grpc))))),
        }
    }
}

/// What is done to an answer.
type Finish = fn(Response<Body>) -> Response<Body>;

/// A stranger's connection ends with its answer, before its time is over: a probe never asks on one that is about to be closed.
fn last(mut answer: Response<Body>) -> Response<Body> {
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One token for each role; its secret is the role's name.
    struct Roles;

    impl Tokens for Roles {
        fn find(&self, secret: &Digest) -> Option<Principal> {
            let known = |role: &Role| Digest::of(role.name().as_bytes()) == *secret;
            Role::ALL.into_iter().find(known).map(|role| Principal { name: format!("a {}", role.name()), role })
        }
    }

    fn access() -> Access {
        let own = OwnToken::new("/nonexistent".into(), "abc", Box::new(|_| {}));
        Access::new(Arc::new(own), Arc::new(Roles), Names::of(None))
    }

    fn request(path: &str, headers: &[(&str, &str)]) -> Request<Body> {
        let mut builder = Request::builder().uri(path);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(Body::empty()).expect("a request")
    }

    #[test]
    fn every_call_shows_a_token_and_probes_need_none() {
        let http = access().for_http();
        let host = ("host", "127.0.0.1:7480");
        assert_eq!(http.judge(&request("/metrics", &[host])), Err(Refusal::Missing));
        for wrong in ["Bearer abd", "Bearer ", "abc", "Basic abc"] {
            assert_eq!(
                http.judge(&request("/metrics", &[host, ("authorization", wrong)])),
                Err(Refusal::Wrong),
                "{wrong}"
            );
        }
        assert!(http.judge(&request("/metrics", &[host, ("authorization", "Bearer abc")])).is_ok());
        assert_eq!(http.judge(&request("/healthz/live", &[host])), Ok(None));
        let grpc = access().for_grpc();
        assert_eq!(grpc.judge(&request("/dspex.v1.Runs/List", &[])), Err(Refusal::Missing));
        assert_eq!(grpc.judge(&request("/healthz/live", &[])), Err(Refusal::Missing));
    }

    #[test]
    fn a_token_opens_what_its_role_may_do() {
        let grpc = access().for_grpc();
        let judged =
            |path: &str, secret: &str| grpc.judge(&request(path, &[("authorization", &format!("Bearer {secret}"))]));
        let reader = Principal { name: "a reader".to_owned(), role: Role::Reader };
        assert_eq!(judged("/dspex.v1.Runs/List", "reader"), Ok(Some(reader)));
        let refused = |has, needed| Err(Refusal::Forbidden { has, needed });
        assert_eq!(judged("/dspex.v1.Runs/Submit", "reader"), refused(Role::Reader, Role::Runner));
        assert!(judged("/dspex.v1.Runs/Submit", "runner").is_ok());
        assert_eq!(judged("/dspex.v1.Admin/CreateToken", "runner"), refused(Role::Runner, Role::Admin));
        assert!(judged("/dspex.v1.Admin/CreateToken", "admin").is_ok());
        assert!(judged("/dspex.v1.Admin/CreateToken", "abc").is_ok());
    }

    #[test]
    fn a_page_of_another_site_is_refused_whatever_it_shows() {
        let http = access().for_http();
        let token = ("authorization", "Bearer abc");
        for headers in [
            vec![("host", "evil.example:7480"), token],
            vec![token],
            vec![("host", "localhost:7480"), ("origin", "https://evil.example"), token],
        ] {
            assert_eq!(http.judge(&request("/metrics", &headers)), Err(Refusal::Foreign), "{headers:?}");
        }
        let own = [("host", "localhost:7480"), ("origin", "http://localhost:7480"), token];
        assert!(http.judge(&request("/metrics", &own)).is_ok());
    }

    #[test]
    fn grpc_is_spoken_under_any_name_but_not_with_a_page_of_another_site() {
        let grpc = access().for_grpc();
        let token = ("authorization", "Bearer abc");
        let judged = |headers: &[(&str, &str)]| grpc.judge(&request("/dspex.v1.Runs/List", headers));
        assert!(judged(&[("host", "tunnel.example:7400"), token]).is_ok());
        let own = [("host", "localhost:7400"), ("origin", "http://localhost:7400"), token];
        assert!(judged(&own).is_ok());
        for (host, origin) in [
            ("localhost:7400", "https://evil.example"),
            ("localhost:7400", "null"),
            // A name of another site that leads here.
            ("evil.example:7400", "http://evil.example:7400"),
        ] {
            let judged = judged(&[("host", host), ("origin", origin), token]);
            assert_eq!(judged, Err(Refusal::Foreign), "{host} {origin}");
        }
        let refused = Refusal::Foreign.response(true);
        assert_eq!(refused.status(), StatusCode::FORBIDDEN);
        assert!(!refused.headers().contains_key("grpc-status"));
    }
}
