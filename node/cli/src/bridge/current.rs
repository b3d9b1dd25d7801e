//! The node that a program's requests go to, and the next one when it is lost.

use std::cell::RefCell;
use std::rc::Rc;

use dspex_api::Client;
use tokio::sync::Mutex;

use crate::other_nodes::OtherNodes;

/// Nothing before `connect`.
#[derive(Default)]
pub(super) struct CurrentNode {
    held: RefCell<Option<Held>>,
}

struct Held {
    client: Client,
    /// Counts the nodes: several streams lose one together, and one of them finds the next.
    turn: u32,
    others: Rc<Mutex<OtherNodes>>,
}

impl CurrentNode {
    /// The first one stays.
    pub(super) fn set(&self, client: Client) {
        let mut held = self.held.borrow_mut();
        if held.is_none() {
            let others = Rc::new(Mutex::new(OtherNodes::learn(&client)));
            *held = Some(Held { client, turn: 0, others });
        }
    }

    pub(super) fn client(&self) -> Option<(Client, u32)> {
        self.held.borrow().as_ref().map(|held| (held.client.clone(), held.turn))
    }

    /// Whether a node is there now instead of the one that was lost, which knows of the run.
    pub(super) async fn move_on(&self, lost: u32, run_id: &str) -> bool {
        let Some(others) = self.held.borrow().as_ref().map(|held| Rc::clone(&held.others)) else { return false };
        let mut others = others.lock().await;
        let Some((client, turn)) = self.client() else { return false };
        if turn != lost {
            return true;
        }
        // A node alone that is lost is lost with what it executes.
        if !others.are_known().await {
            return false;
        }
        let Some((found, _)) = others.find(&client, run_id).await else { return false };
        if let Some(held) = self.held.borrow_mut().as_mut() {
            (held.client, held.turn) = (found, turn + 1);
        }
        true
    }
}
