//! Requests on a bulk connection: snapshots in their order, everything about blobs side by side.

use std::sync::Arc;

use dspex_transport::{Request, Requests, Session};
use tokio::sync::mpsc;

use super::{PeerService, Served, fellow, snapshots};
use crate::blobs;

/// Until the connection ends.
pub(super) async fn serve(service: PeerService, session: Session, mut requests: Requests) {
    // Unbounded, but each request in it holds one of its connection's places.
    let (ordered, received) = mpsc::unbounded_channel();
    let taking = tokio::spawn(snapshots::run(service.clone(), received));
    while let Some(request) = requests.next().await {
        let Some(served) = service.get() else {
            request.fail("consensus has not started, or is ending").await;
            continue;
        };
        if fellow(&served.own, &session).is_none() {
            request.fail("this node and the one that asks do not belong to the same cluster").await;
        } else if blobs::is_about(request.method) {
            tokio::spawn(answer(served, request));
        } else {
            // Where nobody receives, the request is dropped, and its drop tells the peer.
            let _ = ordered.send(request);
        }
    }
    drop(ordered);
    let _ = taking.await;
}

async fn answer(served: Arc<Served>, request: Request) {
    match blobs::serve(&served, &request).await {
        Ok(reply) => request.reply(reply).await,
        Err(error) => {
            tracing::debug!(%error, "a request about blobs failed");
            request.fail(error.to_string()).await;
        }
    }
}
