//! The calls of the service Blobs.

use futures::future::BoxFuture;
use prost::bytes::Bytes;
use tokio::sync::mpsc;
use tonic::codegen::tokio_stream::Stream;

use crate::ApiError;
use crate::client::{Client, Transport, message_limit};
use crate::v1::blobs_client::BlobsClient;
use crate::v1::{BlobChunk, GetBlobRequest, KeepBlobRequest, PutBlobResponse};

/// A part of an upload.
#[derive(Debug, Clone)]
pub enum Part {
    /// The next bytes, at most 1 MiB.
    Chunk(Bytes),
    /// That was all. An upload without it is never taken for complete, whatever happens to its sender.
    End,
}

/// The parts of a blob as a stream of messages.
struct Chunks {
    parts: mpsc::Receiver<Part>,
    has_ended: bool,
}

impl Stream for Chunks {
    type Item = BlobChunk;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<BlobChunk>> {
        use std::task::Poll;
        if self.has_ended {
            return Poll::Ready(None);
        }
        match self.parts.poll_recv(context) {
            Poll::Ready(Some(Part::Chunk(data))) => Poll::Ready(Some(BlobChunk { data, end: false })),
            Poll::Ready(Some(Part::End)) => {
                self.has_ended = true;
                Poll::Ready(Some(BlobChunk { data: Bytes::new(), end: true }))
            }
            // The sender gave up; the caller drops the call, which resets the stream.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

impl Client {
    fn blobs(&self) -> BlobsClient<Transport> {
        BlobsClient::with_interceptor(self.channel.clone(), self.token.clone())
            .max_decoding_message_size(message_limit())
    }

    /// Uploads what arrives on `parts` until [`Part::End`]. To give up half-way, drop this future: the node then discards
    /// what it has.
    pub fn put_blob_stream(&self, parts: mpsc::Receiver<Part>) -> BoxFuture<'_, Result<PutBlobResponse, ApiError>> {
        Box::pin(async move {
            let chunks = Chunks { parts, has_ended: false };
            self.bounded("upload", self.limits.load, self.blobs().put(chunks)).await
        })
    }

    /// Keeps a blob as an upload of it would; `false`: the node does not have it.
    pub fn keep_blob<'a>(&'a self, digest: &'a str) -> BoxFuture<'a, Result<bool, ApiError>> {
        Box::pin(async move {
            let request = KeepBlobRequest { digest: digest.to_owned() };
            Ok(self.bounded("keep blob", self.limits.call, self.blobs().keep(request)).await?.present)
        })
    }

    /// Downloads a blob into memory.
    pub fn get_blob<'a>(&'a self, digest: &'a str) -> BoxFuture<'a, Result<Vec<u8>, ApiError>> {
        Box::pin(async move {
            let request = GetBlobRequest { digest: digest.to_owned() };
            let mut stream = self.bounded("download", self.limits.call, self.blobs().get(request)).await?;
            let mut bytes = Vec::new();
            while let Some(chunk) = stream.message().await? {
                bytes.extend_from_slice(&chunk.data);
            }
            Ok(bytes)
        })
    }
}
