//! The service Blobs: content-addressed bytes.

use std::pin::Pin;
use std::sync::Arc;

use dspex_api::v1::blobs_server::Blobs;
use dspex_api::v1::{BlobChunk, GetBlobRequest, KeepBlobRequest, KeepBlobResponse, PutBlobResponse};
use dspex_api::{ApiError, reason};
use dspex_model::{Digest, quoted};
use dspex_storage::BlobWriter;
use futures::Stream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::Node;
use super::errors::{internal, storage};

/// A dataset of this size is better split.
const BLOB_BYTES_MAX: u64 = 1 << 30;

pub(crate) struct BlobsService {
    node: Arc<Node>,
}

impl BlobsService {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node }
    }
}

#[tonic::async_trait]
impl Blobs for BlobsService {
    async fn put(&self, request: Request<Streaming<BlobChunk>>) -> Result<Response<PutBlobResponse>, Status> {
        let _call = self.node.activity.enter();
        let mut chunks = request.into_inner();
        let mut writer = self.node.blobs.writer();
        let mut complete = false;
        while let Some(chunk) = chunks.message().await? {
            complete = chunk.end;
            if writer.length() + chunk.data.len() as u64 > BLOB_BYTES_MAX {
                return Err(ApiError::new(
                    dspex_api::Code::ResourceExhausted,
                    reason::TOO_LARGE,
                    "a blob holds at most 1 GiB",
                )
                .into());
            }
            writer = write(writer, chunk).await?;
        }
        if !complete {
            return Err(ApiError::invalid(reason::REQUEST_INVALID, "the upload was given up half-way").into());
        }
        let bytes = writer.length();
        let _kept = self.node.tree.keep_blobs().await;
        let finished = tokio::task::spawn_blocking(move || writer.finish()).await;
        let digest = finished.map_err(internal)?.map_err(|error| storage(&error))?;
        self.node.tree.pin(digest);
        Ok(Response::new(PutBlobResponse { digest: digest.to_string(), bytes }))
    }

    async fn keep(&self, request: Request<KeepBlobRequest>) -> Result<Response<KeepBlobResponse>, Status> {
        let _call = self.node.activity.enter();
        let text = request.into_inner().digest;
        let digest: Digest = text.parse().map_err(|error| {
            Status::from(ApiError::invalid(reason::REQUEST_INVALID, format!("digest: {}: {error}", quoted(&text))))
        })?;
        let _kept = self.node.tree.keep_blobs().await;
        let present = self.node.tree.keep_blob(digest).await.map_err(|error| storage(&error))?;
        Ok(Response::new(KeepBlobResponse { present }))
    }

    type GetStream = Pin<Box<dyn Stream<Item = Result<BlobChunk, Status>> + Send>>;

    async fn get(&self, request: Request<GetBlobRequest>) -> Result<Response<Self::GetStream>, Status> {
        let call = self.node.activity.enter();
        let GetBlobRequest { digest } = request.into_inner();
        let digest: Digest =
            digest.parse().map_err(|error| ApiError::invalid(reason::REQUEST_INVALID, format!("{error}")))?;
        // Another node may have taken it in a moment ago. What none has is not here either.
        let _ = self.node.consensus.obtain([digest]).await;
        let reader = self.node.blobs.reader(&digest).map_err(|error| storage(&error))?;
        let reader =
            reader.ok_or_else(|| ApiError::not_found(reason::BLOB_NOT_FOUND, format!("there is no blob {digest}")))?;
        let (sender, receiver) = mpsc::channel(4);
        tokio::task::spawn_blocking(move || {
            let _call = call;
            for chunk in reader {
                let chunk = chunk.map(|data| BlobChunk { data: data.into(), end: false });
                let chunk = chunk.map_err(|error| storage(&error));
                if sender.blocking_send(chunk).is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

async fn write(mut writer: BlobWriter, chunk: BlobChunk) -> Result<BlobWriter, Status> {
    let written = tokio::task::spawn_blocking(move || writer.write(&chunk.data).map(|()| writer)).await;
    written.map_err(internal)?.map_err(|error| storage(&error))
}
