//! The gRPC server on the node's Unix socket.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use dspex_api::v1::admin_server::AdminServer;
use dspex_api::v1::blobs_server::BlobsServer;
use dspex_api::v1::pools_server::PoolsServer;
use dspex_api::v1::runs_server::RunsServer;
use dspex_api::{FILE_DESCRIPTOR_SET, SocketPath};
use tokio::net::{UnixListener, UnixStream};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;
use tracing::warn;

use crate::service::{AdminService, BlobsService, Node, PoolsService, RunsService};

/// A submission carries a whole environment; rows come in chunks of 1 MiB.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Serves until `end` completes.
pub(crate) async fn serve(socket: PathBuf, node: Arc<Node>, end: impl Future<Output = ()>) -> anyhow::Result<()> {
    let listener = listen(&socket)?;
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<RunsServer<RunsService>>().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .build_v1()?;
    let runs = RunsServer::new(RunsService::new(Arc::clone(&node)))
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let pools = PoolsServer::new(PoolsService::new(Arc::clone(&node)))
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    Server::builder()
        .add_service(health_service)
        .add_service(reflection)
        .add_service(runs)
        .add_service(pools)
        .add_service(
            BlobsServer::new(BlobsService::new(Arc::clone(&node))).max_decoding_message_size(MESSAGE_BYTES_MAX),
        )
        .add_service(AdminServer::new(AdminService::new(node)))
        .serve_with_incoming_shutdown(UnixListenerStream::new(listener).filter_map(own_user_only), end)
        .await?;
    Ok(())
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
