//! Where the members are by now. openraft keeps what it was told when it began to replicate to one.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use openraft::async_runtime::WatchReceiver;

use crate::types::Raft;

/// Addresses by node; clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Addresses {
    known: Arc<RwLock<BTreeMap<u64, String>>>,
}

impl Addresses {
    /// Where a member is; `None`: it is not known as one yet.
    pub(crate) fn get(&self, node: u64) -> Option<String> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(&node).cloned()
    }

    /// Follows the membership until openraft has stopped.
    pub(crate) async fn follow(self, raft: Raft) {
        let mut metrics = raft.server_metrics();
        drop(raft);
        let mut seen = None;
        loop {
            {
                let current = metrics.borrow_watched();
                let membership = &current.membership_config;
                if seen != Some(*membership.log_id()) {
                    seen = Some(*membership.log_id());
                    let nodes = membership.membership().nodes();
                    let addresses = nodes.map(|(&node, member)| (node, member.address.clone())).collect();
                    *self.known.write().unwrap_or_else(PoisonError::into_inner) = addresses;
                }
            }
            if metrics.changed().await.is_err() {
                return;
            }
        }
    }
}
