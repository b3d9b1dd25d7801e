//! The other nodes of a cluster: through them one goes on with a run when the node that was asked is lost.

use std::time::Duration;

use dspex_api::v1::{ClusterStatusResponse, Run, RunStatus};
use dspex_api::{Address, ApiError, Client, Token, reason};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::token;

/// Times that each node is tried.
const ROUNDS: u32 = 3;
/// Before each of them.
const PAUSE: Duration = Duration::from_millis(100);
/// For the answer that was asked for when the node was there.
const LEARN_LIMIT: Duration = Duration::from_secs(2);

/// What a node has said of the others, while it was there. A node alone, and an embedded one, has none.
#[derive(Debug)]
pub struct OtherNodes {
    learning: Option<JoinHandle<Vec<Address>>>,
    addresses: Vec<Address>,
}

impl Drop for OtherNodes {
    fn drop(&mut self) {
        if let Some(learning) = &self.learning {
            learning.abort();
        }
    }
}

impl OtherNodes {
    /// Asks in the background: most often nobody needs to know.
    pub fn learn(client: &Client) -> Self {
        let is_embedded = matches!(client.address(), Address::Unix(_));
        let client = client.clone();
        let learning = (!is_embedded).then(|| {
            tokio::spawn(async move { client.cluster_status().await.map(|told| others(&told)).unwrap_or_default() })
        });
        Self { learning, addresses: Vec::new() }
    }

    /// Whether there are some.
    pub async fn are_known(&mut self) -> bool {
        if let Some(learning) = &mut self.learning {
            if let Ok(Ok(addresses)) = timeout(LEARN_LIMIT, learning).await {
                self.addresses = addresses;
            }
            self.learning = None;
        }
        !self.addresses.is_empty()
    }

    /// The run as the first node has it that answers: the lost one itself, which may be back, or another.
    pub async fn find(&mut self, lost: &Client, run_id: &str) -> Option<(Client, Run)> {
        self.are_known().await;
        let found = self.look(lost, run_id).await;
        // It may be back when the next one is lost.
        if found.is_some() && !self.addresses.contains(lost.address()) {
            self.addresses.push(lost.address().clone());
        }
        found
    }

    async fn look(&self, lost: &Client, run_id: &str) -> Option<(Client, Run)> {
        for _ in 0..ROUNDS {
            sleep(PAUSE).await;
            if let Ok(client) = lost.reconnect().await
                && let Ok(run) = client.run(run_id).await
            {
                return Some((client, run));
            }
            for address in &self.addresses {
                if let Some(found) = ask(lost, address, run_id).await {
                    return Some(found);
                }
            }
        }
        None
    }
}

async fn ask(lost: &Client, address: &Address, run_id: &str) -> Option<(Client, Run)> {
    // A node of this machine may have left a token of its own for its user; else the one in use may be known to all.
    let left = token::find(None, address).ok().filter(Token::is_set);
    for token in left.map(Some).into_iter().chain([None]) {
        let client = lost.connect_to(address.clone(), token).await.ok()?;
        if let Ok(run) = client.run(run_id).await {
            return Some((client, run));
        }
    }
    None
}

/// Where the members are that know of runs, but for the one that says so.
fn others(told: &ClusterStatusResponse) -> Vec<Address> {
    let knows = |role: &str| matches!(role, "voter" | "learner");
    let others = told.members.iter().filter(|member| member.node_id != told.node_id && knows(&member.role));
    // Without a scheme: by TLS where an authority is given, in the clear on this machine only.
    others.filter_map(|member| member.api_address.parse().ok()).collect()
}

/// Whether an error means that the node is lost. A reason of its own is an answer; anything else is a broken connection, whatever
/// its code.
pub fn is_lost(error: &ApiError) -> bool {
    matches!(error.reason.as_ref(), "" | reason::NODE_UNREACHABLE | reason::NODE_STOPPING)
}

/// Whether there is something to follow.
pub fn goes_on(run: &Run) -> bool {
    run.status() == RunStatus::Running
}

#[cfg(test)]
mod tests {
    use dspex_api::v1::Member;

    use super::*;

    fn member(node_id: u64, role: &str, api_address: &str) -> Member {
        Member { node_id, role: role.to_owned(), api_address: api_address.to_owned(), ..Member::default() }
    }

    #[test]
    fn the_others_are_those_that_know_of_runs_and_say_where_they_are() {
        let members = vec![
            member(1, "voter", "a.example:7400"),
            member(2, "voter", "b.example:7400"),
            member(3, "learner", "c.example:7400"),
            member(4, "worker", "d.example:7400"),
            member(5, "voter", ""),
        ];
        let told = ClusterStatusResponse { node_id: 1, members, ..ClusterStatusResponse::default() };
        let wanted = ["b.example:7400", "c.example:7400"].map(|text| Address::Tcp(text.to_owned()));
        assert_eq!(others(&told), wanted);
    }

    #[test]
    fn a_refusal_is_an_answer_and_a_broken_connection_is_none() {
        let error = |reason| ApiError::unavailable(reason, "x");
        assert!(
            is_lost(&error("")) && is_lost(&error(reason::NODE_UNREACHABLE)) && is_lost(&error(reason::NODE_STOPPING))
        );
        assert!(!is_lost(&error(reason::RUN_NOT_FOUND)) && !is_lost(&error(reason::UNAUTHENTICATED)));
    }
}
