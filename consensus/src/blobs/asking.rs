//! Asks members what they lack.

use std::time::Duration;

use bytes::Bytes;
use dspex_transport::Channel;

use super::keeper::Lacking;
use crate::codec::wire;
use crate::network::{Network, method};

impl Network {
    /// What a member lacks in its own words; `None`: it does not say.
    pub(crate) async fn lacking(&self, node: u64, limit: Duration) -> Option<Lacking> {
        let link = self.link(node, "", Channel::Bulk)?;
        let reply = link.call(method::BLOBS_LACKING, Bytes::new(), limit).await.ok()?;
        wire::decode_lacking(&reply).ok()
    }
}
