//! Whatever a crash leaves on a disk, the node can be started with it; and its consensus never stops by itself.

use super::Invariant;
use crate::committed::Committed;
use crate::observer::Seen;

#[derive(Default)]
pub(crate) struct NodesStayUsable;

impl Invariant for NodesStayUsable {
    fn name(&self) -> &'static str {
        "nodes_stay_usable"
    }

    fn see(&mut self, seen: &Seen<'_>, _committed: &Committed) -> Result<(), String> {
        match seen {
            Seen::Failed { node, detail } => Err(format!("node {node}: {detail}")),
            _ => Ok(()),
        }
    }
}
