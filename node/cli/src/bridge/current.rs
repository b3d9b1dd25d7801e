//! The node that a program's requests go to, and the next one when it is lost.

use std::cell::RefCell;
use std::rc::Rc;

use dspex_api::Client;
use tokio::sync::{Mutex, watch};

use crate::other_nodes::{self, Loss, OtherNodes};

/// Nothing before `connect`.
#[derive(Default)]
pub(super) struct CurrentNode {
    held: RefCell<Option<Held>>,
    /// Counts the nodes: several streams lose one together, and one of them finds the next.
    turn: watch::Sender<u32>,
}

struct Held {
    /// As the program named it: the address may stand for several nodes, and the token is the one for it.
    named: Client,
    client: Client,
    /// Which one of all that it was.
    connection: u32,
    others: Rc<Mutex<OtherNodes>>,
}

/// Where one goes on after a loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// At the node in use now.
    There,
    /// At the same node: it answers, and nobody else has a leader either.
    Here,
    Nowhere,
}

impl CurrentNode {
    /// The first one stays.
    pub(super) fn set(&self, client: Client) {
        let mut held = self.held.borrow_mut();
        if held.is_none() {
            let others = Rc::new(Mutex::new(OtherNodes::learn(&client)));
            *held = Some(Held { named: client.clone(), client, connection: 0, others });
        }
    }

    pub(super) fn client(&self) -> Option<(Client, u32)> {
        self.held.borrow().as_ref().map(|held| (held.client.clone(), *self.turn.borrow()))
    }

    /// The connection that new requests go over, and which one it is.
    pub(super) fn connection(&self) -> Option<(Client, u32)> {
        self.held.borrow().as_ref().map(|held| (held.client.clone(), held.connection))
    }

    /// Another connection to the address that the program named in place of that one, unless there is another one already; false: nobody
    /// answers there. Streams stay on theirs: it is no loss.
    pub(super) async fn connect_anew(&self, connection: u32) -> bool {
        let Some(named) = self.held.borrow().as_ref().map(|held| held.named.clone()) else { return false };
        let Ok(further) = named.connect_to(named.address().clone(), None).await else { return false };
        if let Some(held) = self.held.borrow_mut().as_mut()
            && held.connection == connection
        {
            (held.client, held.connection) = (further, connection + 1);
        }
        true
    }

    /// Completes when another node is in use than at that turn.
    pub(super) async fn moved(&self, turn: u32) {
        // The sender is held here, so this cannot fail.
        let _ = self.turn.subscribe().wait_for(|now| *now != turn).await;
    }

    /// A program may run for days, and members come and go.
    pub(super) fn learn_again(&self) {
        if let Some(held) = self.held.borrow().as_ref()
            // Else they are being looked for now.
            && let Ok(mut others) = held.others.try_lock()
        {
            others.learn_again(&held.client);
        }
    }

    /// Looks for a node that knows of the run, instead of what was lost.
    pub(super) async fn move_on(&self, turn: u32, run_id: &str, loss: Loss) -> Next {
        // A node alone that is lost is lost with what it executes.
        let not_found = if loss == Loss::Leader { Next::Here } else { Next::Nowhere };
        let find = async |others: &mut OtherNodes, lost: &Client| {
            others.find(lost, run_id, loss).await.ok().map(|(found, _)| found)
        };
        self.go(turn, find).await.map_or(not_found, |()| Next::There)
    }

    /// Looks for a node that takes what is new, instead of the one in use at that turn; false: there is none.
    pub(super) async fn move_anywhere(&self, turn: u32) -> bool {
        let find = async |others: &mut OtherNodes, lost: &Client| others.find_any(lost).await.ok();
        self.go(turn, find).await.is_some()
    }

    /// Whether the node in use answers and hears of a leader.
    pub(super) async fn answers(&self) -> bool {
        let Some((client, _)) = self.client() else { return false };
        other_nodes::answers(&client).await
    }

    /// To the node that is found, unless another request has gone on meanwhile.
    async fn go(&self, turn: u32, find: impl AsyncFn(&mut OtherNodes, &Client) -> Option<Client>) -> Option<()> {
        let others = self.held.borrow().as_ref().map(|held| Rc::clone(&held.others))?;
        let mut others = others.lock().await;
        let (client, now) = self.client()?;
        if now != turn {
            return Some(());
        }
        if !others.are_known().await {
            return None;
        }
        let found = find(&mut others, &client).await?;
        if let Some(held) = self.held.borrow_mut().as_mut() {
            held.client = found;
            held.connection += 1;
        }
        self.turn.send_replace(turn + 1);
        Some(())
    }
}
