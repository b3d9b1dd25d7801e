//! A typed client over a Unix socket or TCP, with or without TLS. Every wait has a time limit; the calls stand in `client_*.rs`.

use futures::future::BoxFuture;
use std::io;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint, Uri};
use tonic::{Response, Status};

use crate::address::{Address, Token};
use crate::credentials::{Ca, Credentials};
use crate::error::{info_of_node, key};
use crate::foreign::{Foreign, foreign};
use crate::plain::Heard;
use crate::socket::SocketPath;
use crate::way::Way;
use crate::{ApiError, Code, plain, reason, trust};

/// A result row with a long prediction and traceback must fit; the server sends at most this, too.
const MESSAGE_LIMIT_BYTES: usize = 64 << 20;
/// Tracebacks travel in headers (see [`crate::METADATA_LIMIT_BYTES`]); hyper's default of 16 KiB is too small.
const HEADER_LIMIT_BYTES: u32 = 256 << 10;

/// How long calls may take.
#[derive(Debug, Clone, Copy)]
pub struct TimeLimits {
    /// Until the connection stands.
    pub connect: Duration,
    /// A call that only reads or writes the node's state.
    pub call: Duration,
    /// A call that loads the caller's program first: importing may take minutes.
    pub load: Duration,
}

impl Default for TimeLimits {
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), call: Duration::from_secs(30), load: Duration::from_secs(900) }
    }
}

/// A connection to one node; cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) channel: Channel,
    pub(crate) limits: TimeLimits,
    pub(crate) token: Token,
    ca: Option<Ca>,
    address: Address,
}

/// How soon a connection with something under way is given up when nothing comes from the node.
#[derive(Debug, Clone, Copy)]
struct Attention {
    /// After so long without anything it is asked whether it is there.
    ask_after: Duration,
    answer_within: Duration,
}

/// For all that is not followed: what is sent over a slow line may keep the node's word waiting for long.
const PATIENT: Attention = Attention { ask_after: Duration::from_secs(20), answer_within: Duration::from_secs(60) };
/// A run is cancelled when nobody has followed it for 30 s as the program that submitted it. The node that stands still has said last
/// up to 5 s before that somebody does.
const ATTENTIVE: Attention = Attention { ask_after: Duration::from_secs(5), answer_within: Duration::from_secs(10) };

/// What the generated clients speak through.
pub(crate) type Transport = InterceptedService<Channel, Token>;

impl Client {
    /// Connects now, so that an absent node is noticed here and not at the first call, and one that is not trusted before it is
    /// shown anything.
    pub fn connect(
        address: impl Into<Address>,
        credentials: impl Into<Credentials>,
        limits: TimeLimits,
    ) -> BoxFuture<'static, Result<Self, ApiError>> {
        Self::connect_with(address.into(), credentials.into(), limits)
    }

    fn connect_with(
        address: Address,
        credentials: Credentials,
        limits: TimeLimits,
    ) -> BoxFuture<'static, Result<Self, ApiError>> {
        Box::pin(async move {
            let Credentials { token, ca } = credentials;
            let way = Way::to(&address, ca.as_ref())?;
            let channel = open_within(limits.connect, &way, &address, PATIENT).await?;
            Ok(Self { channel, limits, token, ca, address })
        })
    }

    /// Where it is connected to.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The same connection, for calls that take no longer than this.
    #[must_use]
    pub fn within(&self, call: Duration) -> Self {
        let limits = TimeLimits { call: self.limits.call.min(call), ..self.limits };
        Self { limits, ..self.clone() }
    }

    /// A connection to another node of the same cluster, by the same authority; with the same token, unless that node has one of its
    /// own.
    pub fn connect_to(&self, address: Address, token: Option<Token>) -> BoxFuture<'static, Result<Self, ApiError>> {
        let token = token.unwrap_or_else(|| self.token.clone());
        Self::connect_with(address, Credentials { token, ca: self.ca.clone() }, self.limits)
    }

    /// Another connection to the same node, for streams that one follows: they break soon when the node stands still or its machine
    /// has lost its power, so that there is time to go on through another one. An embedded node has none beside it: then it is this
    /// one.
    pub fn attentive(&self) -> BoxFuture<'_, Result<Self, ApiError>> {
        Box::pin(async move {
            if matches!(self.address, Address::Unix(_)) {
                return Ok(self.clone());
            }
            let way = Way::to(&self.address, self.ca.as_ref())?;
            let channel = open_within(self.limits.connect, &way, &self.address, ATTENTIVE).await?;
            Ok(Self { channel, ..self.clone() })
        })
    }

    /// Waits for `call`, but not longer than `limit`.
    pub(crate) async fn bounded<T>(
        &self,
        what: &str,
        limit: Duration,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, ApiError> {
        match tokio::time::timeout(limit, call).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(self.explained(status).await),
            Err(_) => Err(timed_out(what, limit)),
        }
    }

    /// A connection to what is no node at all stands, and breaks at the first call: then that is said.
    async fn explained(&self, status: Status) -> ApiError {
        if let Address::Tcp(authority) = &self.address
            && info_of_node(&status).is_none()
            && let Some(found) = foreign(authority, &told(&status), self.ca.is_some()).await
        {
            let why = found.why();
            let error = ApiError::unavailable(
                reason::NODE_UNREACHABLE,
                format!("what answers at {authority} is not a DSPex node ({why}); the API port is api.listen (7400)"),
            );
            return match found {
                Foreign::Silent => error,
                Foreign::Speaks(why) => error.with(key::FOREIGN, why),
            };
        }
        status.into()
    }
}

async fn open_within(limit: Duration, way: &Way, address: &Address, attention: Attention) -> Result<Channel, ApiError> {
    match tokio::time::timeout(limit, open(way, address, attention)).await {
        Ok(channel) => channel,
        Err(_) => Err(timed_out(&format!("connecting to {address}"), limit)),
    }
}

async fn open(way: &Way, address: &Address, attention: Attention) -> Result<Channel, ApiError> {
    let endpoint = endpoint(way, attention)
        .map_err(|error| ApiError::invalid(reason::REQUEST_INVALID, format!("the address {address}: {error}")))?;
    let absent = |cause: String| {
        ApiError::unavailable(reason::NODE_UNREACHABLE, format!("no node answers at {address}: {cause}"))
    };
    match way {
        Way::Unix(path) => {
            let connecting = endpoint.connect_with_connector(unix_connector(path.clone())).await;
            connecting.map_err(|error| absent(innermost(&error)))
        }
        Way::Plain(authority) => {
            let connecting = plain::connect(&endpoint, authority).await;
            match connecting.map_err(|error| absent(innermost(&error)))? {
                (channel, Heard::NothingWrong) => Ok(channel),
                (_, Heard::Tls) => Err(trust::needed(address)),
                (_, Heard::End) => Err(absent("it hung up at once".to_owned())),
            }
        }
        Way::Tls(_, ca) => {
            let protected =
                endpoint.tls_config(ClientTlsConfig::new().ca_certificate(ca.0.clone())).map_err(|error| {
                    ApiError::invalid(reason::REQUEST_INVALID, format!("TLS with {address}: {}", innermost(&error)))
                })?;
            protected.connect().await.map_err(|error| trust::refused(address, &innermost(&error)))
        }
    }
}

fn endpoint(way: &Way, attention: Attention) -> Result<Endpoint, tonic::transport::Error> {
    let uri = match way {
        // Never resolved: the connector ignores it.
        Way::Unix(_) => "http://dspex.local".to_owned(),
        Way::Plain(authority) => format!("http://{authority}"),
        Way::Tls(authority, _) => format!("https://{authority}"),
    };
    Ok(Endpoint::from_shared(uri)?
        .tcp_nodelay(true)
        .http2_max_header_list_size(HEADER_LIMIT_BYTES)
        // A node that hangs, or a machine that slept, ends the stream instead of stalling it for ever.
        .http2_keep_alive_interval(attention.ask_after)
        .keep_alive_timeout(attention.answer_within)
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(8 << 20))
}

fn unix_connector(
    path: std::path::PathBuf,
) -> impl tower::Service<Uri, Response = TokioIo<UnixStream>, Error = io::Error, Future: Send> + Send {
    tower::service_fn(move |_: Uri| {
        let path = path.clone();
        async move {
            let address = SocketPath::new(&path)?;
            Ok::<_, io::Error>(TokioIo::new(UnixStream::connect(address.as_path()).await?))
        }
    })
}

/// The limit of messages in both directions, for each generated client.
pub(crate) const fn message_limit() -> usize {
    MESSAGE_LIMIT_BYTES
}

/// What is said of a failed call, with its cause.
fn told(status: &Status) -> String {
    format!("{}: {}", status.message(), innermost(status))
}

fn timed_out(what: &str, limit: Duration) -> ApiError {
    ApiError::new(
        Code::DeadlineExceeded,
        reason::NODE_TIMED_OUT,
        format!("the node did not answer within {} s ({what})", limit.as_secs_f64()),
    )
}

/// The cause that a person recognizes: "Connection refused", not "transport error".
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
