//! Before a proposal names blobs: a majority of the voters has them, synced. As `consensus/src/blobs/spread.rs`.

use std::sync::Arc;
use std::time::Duration;

use dspex_model::Digest;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, timeout_at};

use super::{BlobError, BlobStore, STEP_LIMIT};
use crate::handle::Handle;
use crate::membership::is_voter;
use crate::mutant::Mutant;
use crate::network::Network;
use crate::served::Served;

/// For a majority to have them. Shorter than the original: see [`super::KEEP`].
const SPREAD_LIMIT: Duration = Duration::from_secs(5);

impl Handle {
    /// Returns when a majority of the voters has stored these blobs, which this node has.
    pub(crate) async fn spread(&self, digests: &[Digest]) -> Result<(), BlobError> {
        let voters = self.raft.voter_ids().count();
        let own = usize::from(is_voter(&self.raft, *self.raft.node_id()));
        let needed = voters / 2 + 1;
        if digests.is_empty() || own >= needed || self.network.world.mutant == Some(Mutant::PromisesUnspread) {
            return Ok(());
        }
        let sending = self.holders().into_iter().filter(|holder| holder.is_voter).map(|holder| {
            let (store, network, digests) = (self.blobs.clone(), self.network.clone(), digests.to_vec());
            // A task of its own: a voter beyond the majority is served to the end.
            tokio::spawn(async move { send(&store, &network, holder.node, &digests).await })
        });
        let mut sending: FuturesUnordered<_> = sending.collect();
        let deadline = Instant::now() + SPREAD_LIMIT;
        let (mut have, mut heard) = (own, Vec::new());
        while have < needed {
            match timeout_at(deadline, sending.next()).await {
                Ok(Some(Ok(Ok(())))) => have += 1,
                Ok(Some(Ok(Err(why)))) => heard.push(why),
                Ok(Some(Err(error))) => heard.push(error.to_string()),
                Ok(None) => break,
                Err(_) => {
                    heard.push(format!("no answer within {SPREAD_LIMIT:?}"));
                    break;
                }
            }
        }
        if have >= needed {
            return Ok(());
        }
        Err(BlobError(format!("{have} of {voters} voters have it, {needed} are needed ({})", heard.join("; "))))
    }
}

/// Sends a voter what it lacks. When this returns `Ok` it has all of them, synced.
async fn send(store: &BlobStore, network: &Network, to: u64, digests: &[Digest]) -> Result<(), String> {
    let (wires, own) = (&network.world.wires, network.node);
    let asked = digests.to_vec();
    let ask = move |served: Arc<Served>| async move { Ok(served.missing(&asked)) };
    let missing = wires.call(own, to, STEP_LIMIT, ask).await.map_err(|error| error.to_string())?;
    let gone = |digest: &Digest| format!("the blob {digest} is not on this node any more");
    let blobs: Result<Vec<_>, String> =
        missing.iter().map(|digest| store.get(digest).ok_or_else(|| gone(digest))).collect();
    let blobs = blobs?;
    if blobs.is_empty() {
        return Ok(());
    }
    let give = move |served: Arc<Served>| async move { Ok(served.store(blobs).await) };
    let stored = wires.call(own, to, STEP_LIMIT, give).await.map_err(|error| error.to_string())?;
    if stored == missing { Ok(()) } else { Err("it stored something else than was sent".to_owned()) }
}
