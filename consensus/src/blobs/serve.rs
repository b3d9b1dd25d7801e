//! What peers ask about blobs, on the bulk channel.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use dspex_transport::Request;
use tokio::task::spawn_blocking;

use super::KEEP;
use crate::codec::wire;
use crate::network::method;
use crate::service::Served;

/// Whether a request is one of those that are served here.
pub(crate) fn is_about(method: u8) -> bool {
    (method::BLOBS_MISSING..=method::BLOBS_LACKING).contains(&method)
}

/// The reply to a request about blobs.
pub(crate) async fn serve(served: &Arc<Served>, request: &Request) -> io::Result<Bytes> {
    let (incoming, body) = (served.blobs.clone(), request.body.clone());
    let answer: Box<dyn FnOnce() -> io::Result<Bytes> + Send> = match request.method {
        method::BLOBS_MISSING => Box::new(move || {
            let asked = wire::decode_digests(&body)?;
            Ok(wire::encode_digests(&incoming.store().missing(&asked, Some(KEEP))?))
        }),
        method::BLOBS_STORE => Box::new(move || {
            let stored = incoming.store().put_many(&wire::decode_blobs(&body)?)?;
            Ok(wire::encode_digests(&stored))
        }),
        method::BLOB_PIECE => Box::new(move || {
            let (digest, length, offset, piece) = wire::decode_blob_piece(&body)?;
            incoming.take(digest, length, offset, piece).map(|()| Bytes::new())
        }),
        method::BLOB_READ => Box::new(move || {
            let (digest, number) = wire::decode_blob_read(&body)?;
            Ok(wire::encode_blob_chunk(incoming.store().chunk(&digest, number)?.as_ref()))
        }),
        method::BLOBS_LACKING => {
            let lacking = *served.copies.own.borrow();
            Box::new(move || Ok(wire::encode_lacking(lacking)))
        }
        other => return Err(io::Error::other(format!("method {other} is unknown here: start a newer dspex"))),
    };
    spawn_blocking(answer).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}
