//! The servers of a node: gRPC, health and metrics, on a Unix socket or on TCP behind a token.

mod access;
mod channels;
mod incoming;
mod names;
mod own_token;
mod principal;
mod web;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use dspex_api::v1::admin_server::AdminServer;
use dspex_api::v1::blobs_server::BlobsServer;
use dspex_api::v1::cluster_server::ClusterServer;
use dspex_api::v1::environments_server::EnvironmentsServer;
use dspex_api::v1::executions_server::ExecutionsServer;
use dspex_api::v1::pools_server::PoolsServer;
use dspex_api::v1::programs_server::ProgramsServer;
use dspex_api::v1::runs_server::RunsServer;
use dspex_api::v1::sessions_server::SessionsServer;
use dspex_api::v1::variables_server::VariablesServer;
use dspex_api::{FILE_DESCRIPTOR_SET, SocketPath};
use dspex_model::Role;
use dspex_transport::ServerTls;
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::service::Routes;
use tonic::transport::Server;
use tracing::warn;

use crate::service::{
    AdminService, BlobsService, ClusterService, EnvironmentsService, ExecutionsService, Node, PoolsService,
    ProgramsService, RunsService, SessionsService, VariablesService,
};
use access::Access;
use incoming::{Door, Language};
use names::Names;

pub(crate) use own_token::OwnToken;
pub(crate) use principal::Principal;

/// A submission carries a whole environment; rows come in chunks of 1 MiB.
const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// A connection whose other end is gone without a word is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Where a node listens.
#[derive(Clone)]
pub(crate) enum Listeners {
    /// A Unix socket, for this user only.
    Socket(PathBuf),
    /// TCP, with a token; beyond loopback with TLS.
    Tcp(Tcp),
}

/// The ports of a node on TCP.
#[derive(Clone)]
pub(crate) struct Tcp {
    /// gRPC.
    pub api: Port,
    /// Probes and metrics.
    pub http: Port,
    pub token: Arc<OwnToken>,
    /// Of both ports.
    pub tls: Option<ServerTls>,
}

/// A port that is this node's.
#[derive(Clone)]
pub(crate) struct Port(Arc<std::net::TcpListener>);

impl Port {
    /// Takes it, before anybody is told that the node is there.
    pub(crate) fn take(address: SocketAddr) -> io::Result<Self> {
        let taken = std::net::TcpListener::bind(address).and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok(Self(Arc::new(listener)))
        });
        taken.map_err(|error| io::Error::new(error.kind(), format!("{address}: {error}")))
    }

    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    fn listener(&self) -> io::Result<TcpListener> {
        TcpListener::from_std(self.0.try_clone()?)
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address() {
            Ok(address) => address.fmt(f),
            Err(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for Listeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(Tcp { api, http, tls: None, .. }) => write!(f, "{api} and http://{http}"),
            Self::Tcp(Tcp { api, http, tls: Some(_), .. }) => write!(f, "https://{api} and https://{http}"),
        }
    }
}

impl Listeners {
    /// Nobody finds the node any more.
    pub(crate) fn remove_socket(&self) {
        if let Self::Socket(path) = self {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Serves until the sender of `end` is gone.
pub(crate) async fn serve(listeners: Listeners, node: Arc<Node>, end: watch::Receiver<()>) -> anyhow::Result<()> {
    let web = web::router(Arc::clone(&node));
    let grpc = grpc(Arc::clone(&node)).await?;
    match listeners {
        Listeners::Socket(socket) => {
            let listener = listen(&socket)?;
            // The kernel says that it is this user, who may do everything here.
            let user = Extension(Principal { name: "local user".to_owned(), role: Role::Admin });
            let routes = Routes::from(grpc.into_axum_router().merge(web).layer(user));
            // health and metrics are HTTP/1, for curl.
            Server::builder()
                .accept_http1(true)
                .add_routes(routes)
                .serve_with_incoming_shutdown(UnixListenerStream::new(listener).filter_map(own_user_only), closed(end))
                .await?;
        }
        Listeners::Tcp(Tcp { api, http, token, tls }) => {
            let tokens = Arc::new(node.consensus.clone());
            let access = Access::new(token, tokens, Names::of(tls.as_ref())).of_worker(node.consensus.is_worker());
            let api = Door::new(api.listener()?, tls.clone(), Language::Grpc);
            let http = Door::new(http.listener()?, tls, Language::Pages);
            let guarded = grpc.into_axum_router().layer(access.clone().for_grpc());
            let serving_api = Server::builder()
                .http2_keepalive_interval(Some(KEEP_ALIVE))
                .add_routes(Routes::from(guarded))
                .serve_with_incoming_shutdown(api.open(closed(end.clone())), closed(end.clone()));
            let serving_http = Server::builder()
                .accept_http1(true)
                .http2_keepalive_interval(Some(KEEP_ALIVE))
                .add_routes(Routes::from(web.layer(access.for_http())))
                .serve_with_incoming_shutdown(http.open(closed(end.clone())), closed(end));
            tokio::try_join!(serving_api, serving_http)?;
        }
    }
    Ok(())
}

async fn closed(mut end: watch::Receiver<()>) {
    // A sender that is gone is what is waited for.
    while end.changed().await.is_ok() {}
}

async fn grpc(node: Arc<Node>) -> anyhow::Result<Routes> {
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<RunsServer<RunsService>>().await;
    health.set_serving::<PoolsServer<PoolsService>>().await;
    health.set_serving::<SessionsServer<SessionsService>>().await;
    health.set_serving::<ExecutionsServer<ExecutionsService>>().await;
    health.set_serving::<ProgramsServer<ProgramsService>>().await;
    health.set_serving::<VariablesServer<VariablesService>>().await;
    health.set_serving::<ClusterServer<ClusterService>>().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .build_v1()?;
    let runs = RunsServer::new(RunsService::new(Arc::clone(&node)))
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let pools = PoolsServer::new(PoolsService::new(Arc::clone(&node)))
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let executions =
        ExecutionsServer::new(ExecutionsService::new(Arc::clone(&node))).max_encoding_message_size(MESSAGE_BYTES_MAX);
    let programs = ProgramsServer::new(ProgramsService::new(Arc::clone(&node)))
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let blobs = BlobsServer::new(BlobsService::new(Arc::clone(&node))).max_decoding_message_size(MESSAGE_BYTES_MAX);
    Ok(Routes::new(health_service)
        .add_service(reflection)
        .add_service(runs)
        .add_service(pools)
        .add_service(blobs)
        .add_service(executions)
        .add_service(SessionsServer::new(SessionsService::new(Arc::clone(&node))))
        .add_service(programs)
        .add_service(VariablesServer::new(VariablesService::new(Arc::clone(&node))))
        .add_service(ClusterServer::new(ClusterService::new(Arc::clone(&node))))
        .add_service(EnvironmentsServer::new(EnvironmentsService::new(Arc::clone(&node))))
        .add_service(AdminServer::new(AdminService::new(node))))
}

fn listen(socket: &PathBuf) -> io::Result<UnixListener> {
    // What a killed node left; this one holds the lock of the home's data.
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    UnixListener::bind(SocketPath::new(socket)?.as_path())
}

/// The directory's mode keeps others out already; the kernel's word on who connects is the second lock.
fn own_user_only(connection: io::Result<UnixStream>) -> Option<io::Result<UnixStream>> {
    let allowed = |stream: &UnixStream| {
        let own = rustix::process::geteuid().as_raw();
        stream.peer_cred().is_ok_and(|peer| peer.uid() == own || peer.uid() == 0)
    };
    match connection {
        Ok(stream) if !allowed(&stream) => {
            warn!("a connection of another user was refused");
            None
        }
        other => Some(other),
    }
}
