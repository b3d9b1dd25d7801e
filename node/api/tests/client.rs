//! The client against a small server of the same contract: what a node must be able to rely on, and the other way round.

use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use dspex_api::v1::admin_server::{Admin, AdminServer};
use dspex_api::v1::blobs_server::{Blobs, BlobsServer};
use dspex_api::v1::{
    AuditRequest, AuditResponse, BlobChunk, CreateTokenRequest, CreateTokenResponse, Freshness, GetBlobRequest,
    KeepBlobRequest, KeepBlobResponse, ListTokensRequest, ListTokensResponse, PutBlobResponse, RevokeTokenRequest,
    RevokeTokenResponse, SaveSnapshotRequest, SnapshotChunk, SnapshotFacts, StatusRequest, StatusResponse, StopRequest,
    StopResponse, WorkersRequest, WorkersResponse,
};
use dspex_api::{
    ApiError, Bytes, Client, Code, METADATA_LIMIT_BYTES, Part, SocketPath, TimeLimits, Token, key, reason,
};
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

struct Node {
    /// How each upload ended: its length, or none when the client gave up.
    uploads: mpsc::UnboundedSender<Option<usize>>,
}

#[tonic::async_trait]
impl Blobs for Node {
    type GetStream = Pin<Box<dyn tokio_stream::Stream<Item = Result<BlobChunk, Status>> + Send>>;

    async fn put(&self, request: Request<Streaming<BlobChunk>>) -> Result<Response<PutBlobResponse>, Status> {
        let mut stream = request.into_inner();
        let (mut bytes, mut is_complete) = (0, false);
        while let Ok(Some(chunk)) = stream.message().await {
            bytes += chunk.data.len();
            is_complete = chunk.end;
        }
        if !is_complete {
            let _ = self.uploads.send(None);
            return Err(Status::cancelled("given up"));
        }
        let _ = self.uploads.send(Some(bytes));
        Ok(Response::new(PutBlobResponse { digest: "d".into(), bytes: bytes as u64 }))
    }

    async fn get(&self, _: Request<GetBlobRequest>) -> Result<Response<Self::GetStream>, Status> {
        let chunks = ["a", "b"].map(|data| Ok(BlobChunk { data: data.into(), end: data == "b" }));
        Ok(Response::new(Box::pin(tokio_stream::iter(chunks))))
    }

    async fn keep(&self, request: Request<KeepBlobRequest>) -> Result<Response<KeepBlobResponse>, Status> {
        Ok(Response::new(KeepBlobResponse { present: request.into_inner().digest == "d" }))
    }
}

#[tonic::async_trait]
impl Admin for Node {
    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        tokio::time::sleep(Duration::from_secs(5)).await;
        Ok(Response::new(StatusResponse::default()))
    }

    async fn stop(&self, _: Request<StopRequest>) -> Result<Response<StopResponse>, Status> {
        Err(ApiError::precondition(reason::RUN_RUNNING, "2 runs execute")
            .with(key::TRACEBACK, "x".repeat(METADATA_LIMIT_BYTES))
            .with(key::HINT, "wait")
            .into())
    }

    async fn workers(&self, _: Request<WorkersRequest>) -> Result<Response<WorkersResponse>, Status> {
        Ok(Response::new(WorkersResponse::default()))
    }

    async fn create_token(&self, _: Request<CreateTokenRequest>) -> Result<Response<CreateTokenResponse>, Status> {
        Err(ApiError::new(Code::PermissionDenied, reason::PERMISSION_DENIED, "the token's role is reader").into())
    }

    async fn list_tokens(&self, _: Request<ListTokensRequest>) -> Result<Response<ListTokensResponse>, Status> {
        Ok(Response::new(ListTokensResponse::default()))
    }

    async fn revoke_token(&self, _: Request<RevokeTokenRequest>) -> Result<Response<RevokeTokenResponse>, Status> {
        Ok(Response::new(RevokeTokenResponse::default()))
    }

    async fn audit(&self, _: Request<AuditRequest>) -> Result<Response<AuditResponse>, Status> {
        Ok(Response::new(AuditResponse::default()))
    }

    type SaveSnapshotStream = Pin<Box<dyn tokio_stream::Stream<Item = Result<SnapshotChunk, Status>> + Send>>;

    async fn save_snapshot(
        &self,
        _: Request<SaveSnapshotRequest>,
    ) -> Result<Response<Self::SaveSnapshotStream>, Status> {
        let facts = SnapshotFacts { index: 7, ..SnapshotFacts::default() };
        let chunks = [
            SnapshotChunk { facts: Some(facts), ..SnapshotChunk::default() },
            SnapshotChunk { data: vec![7; 5 << 20].into(), ..SnapshotChunk::default() },
            SnapshotChunk { end: true, ..SnapshotChunk::default() },
        ];
        Ok(Response::new(Box::pin(tokio_stream::iter(chunks.map(Ok)))))
    }
}

async fn serve(socket: &Path) -> mpsc::UnboundedReceiver<Option<usize>> {
    let address = SocketPath::new(socket).expect("address");
    let listener = UnixListener::bind(address.as_path()).expect("bound");
    let (uploads, received) = mpsc::unbounded_channel();
    let node = || Node { uploads: uploads.clone() };
    let server = Server::builder()
        .add_service(BlobsServer::new(node()))
        .add_service(AdminServer::new(node()))
        .serve_with_incoming(UnixListenerStream::new(listener));
    tokio::spawn(server);
    received
}

fn limits() -> TimeLimits {
    TimeLimits { call: Duration::from_millis(300), ..TimeLimits::default() }
}

#[tokio::test]
async fn blobs_travel_in_chunks() {
    let directory = tempfile::tempdir().expect("directory");
    let socket = directory.path().join("node.sock");
    let mut uploads = serve(&socket).await;
    let client = Client::connect(socket.as_path(), Token::default(), limits()).await.expect("connected");
    let (sender, receiver) = mpsc::channel(6);
    for _ in 0..5 {
        sender.send(Part::Chunk(Bytes::from(vec![7; 1_000_000]))).await.expect("room");
    }
    sender.send(Part::End).await.expect("room");
    assert_eq!(client.put_blob_stream(receiver).await.expect("stored").bytes, 5_000_000);
    assert_eq!(uploads.recv().await, Some(Some(5_000_000)));
    assert_eq!(client.get_blob("d").await.expect("there"), b"ab");
    assert!(client.keep_blob("d").await.expect("answered") && !client.keep_blob("e").await.expect("answered"));
}

#[tokio::test]
async fn an_upload_that_is_given_up_is_never_complete() {
    let directory = tempfile::tempdir().expect("directory");
    let socket = directory.path().join("node.sock");
    let mut uploads = serve(&socket).await;
    let client = Client::connect(socket.as_path(), Token::default(), limits()).await.expect("connected");
    let (sender, receiver) = mpsc::channel(4);
    sender.send(Part::Chunk(Bytes::from_static(b"half"))).await.expect("open");
    let giving_up = tokio::time::timeout(Duration::from_millis(100), client.put_blob_stream(receiver));
    assert!(giving_up.await.is_err());
    drop(sender);
    assert_eq!(uploads.recv().await, Some(None));
}

#[tokio::test]
async fn a_snapshot_comes_in_pieces_and_says_when_it_is_whole() {
    let directory = tempfile::tempdir().expect("directory");
    let socket = directory.path().join("node.sock");
    let _uploads = serve(&socket).await;
    let client = Client::connect(socket.as_path(), Token::default(), limits()).await.expect("connected");
    let mut stream = client.save_snapshot(Freshness::Linearizable).await.expect("begun");
    let mut heard = Vec::new();
    while let Some(SnapshotChunk { facts, data, end }) = stream.message().await.expect("readable") {
        heard.push((facts.map(|facts| facts.index), data.len(), end));
    }
    assert_eq!(heard, [(Some(7), 0, false), (None, 5 << 20, false), (None, 0, true)]);
}

#[tokio::test]
async fn errors_keep_reason_hint_and_traceback() {
    let directory = tempfile::tempdir().expect("directory");
    let socket = directory.path().join("node.sock");
    let _uploads = serve(&socket).await;
    let client = Client::connect(socket.as_path(), Token::default(), limits()).await.expect("connected");
    let error = client.stop(false).await.expect_err("refused");
    assert_eq!(error.reason, reason::RUN_RUNNING);
    assert_eq!(error.get(key::HINT), Some("wait"));
    assert_eq!(error.get(key::TRACEBACK).map(str::len), Some(METADATA_LIMIT_BYTES));
}

#[tokio::test]
async fn every_wait_has_a_limit() {
    let directory = tempfile::tempdir().expect("directory");
    let socket = directory.path().join("s".repeat(100)).join("node.sock");
    std::fs::create_dir(socket.parent().expect("parent")).expect("created");
    let _uploads = serve(&socket).await;
    let client =
        Client::connect(socket.as_path(), Token::default(), limits()).await.expect("connected through a long path");
    let error = client.status().await.expect_err("too slow");
    assert_eq!(error.reason, reason::NODE_TIMED_OUT);
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let directory = tempfile::tempdir().expect("directory");
    let error = Client::connect(directory.path().join("node.sock").as_path(), Token::default(), limits())
        .await
        .expect_err("nobody");
    assert_eq!(error.reason, reason::NODE_UNREACHABLE);
}
