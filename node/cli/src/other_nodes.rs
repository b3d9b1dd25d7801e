//! The other nodes of a cluster: through them one goes on with a run when the node that was asked is lost.

use std::collections::BTreeMap;
use std::time::Duration;

use dspex_api::v1::{ClusterStatusResponse, ListRunsRequest, Run, RunStatus};
use dspex_api::{Address, ApiError, Client, Token, reason};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use crate::token;

/// Times that each node is tried.
const ROUNDS: u32 = 3;
/// Before each of them.
const PAUSE: Duration = Duration::from_millis(100);
/// For the answer that was asked for when the node was there.
const LEARN_LIMIT: Duration = Duration::from_secs(2);
/// For a node to take the connection and say how the run is. One that stands still does neither, and a run is cancelled when it has
/// not been followed for 30 s.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// What is lost of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// It does not answer.
    Node,
    /// It answers, and hears of no leader: what it says may be old.
    Leader,
}

/// What the next node has to have.
#[derive(Debug, Clone)]
enum Wanted {
    Run(String),
    RunAndLeader(String),
    Leader,
}

/// What a node has said of the others, while it was there. A node alone, and an embedded one, has none.
#[derive(Debug, Default)]
pub struct OtherNodes {
    learning: Option<JoinHandle<Vec<Address>>>,
    learned: Vec<Address>,
    /// Those that were in use before: they may be back when the next one is lost, and are where they were reached, whatever the members
    /// call themselves.
    reached: Vec<Address>,
}

/// Why each node that was asked is of no use.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Refusals(BTreeMap<String, String>);

impl Refusals {
    /// For people; empty: nobody was asked.
    pub fn text(&self) -> String {
        let one = |(address, why): (&String, &String)| match why.contains(address.as_str()) {
            true => why.clone(),
            false => format!("{address}: {why}"),
        };
        let all: Vec<String> = self.0.iter().map(one).collect();
        all.join("; ")
    }
}

impl Drop for OtherNodes {
    fn drop(&mut self) {
        self.forget_learning();
    }
}

impl OtherNodes {
    /// Asks in the background: most often nobody needs to know.
    pub fn learn(client: &Client) -> Self {
        let mut others = Self::default();
        others.learn_again(client);
        others
    }

    /// The same once more: members come and go. What is known holds until the answer is there.
    pub fn learn_again(&mut self, client: &Client) {
        if matches!(client.address(), Address::Unix(_)) {
            return;
        }
        self.forget_learning();
        let client = client.clone();
        self.learning =
            Some(tokio::spawn(
                async move { client.cluster_status().await.map(|told| others(&told)).unwrap_or_default() },
            ));
    }

    fn forget_learning(&mut self) {
        if let Some(learning) = self.learning.take() {
            learning.abort();
        }
    }

    /// Whether there are some.
    pub async fn are_known(&mut self) -> bool {
        if let Some(learning) = &mut self.learning {
            let told = timeout(LEARN_LIMIT, learning).await;
            self.learning = None;
            self.take(told.ok().and_then(Result::ok).unwrap_or_default());
        }
        !self.learned.is_empty() || !self.reached.is_empty()
    }

    /// A node that does not say which others there are says nothing against those that are known.
    fn take(&mut self, told: Vec<Address>) {
        if !told.is_empty() {
            self.learned = told;
        }
    }

    /// All that may be asked instead of the lost one.
    fn instead_of(&self, lost: &Address) -> Vec<Address> {
        let mut wanted: Vec<Address> = Vec::new();
        for address in self.learned.iter().chain(&self.reached) {
            if address != lost && !wanted.contains(address) {
                wanted.push(address.clone());
            }
        }
        wanted
    }

    /// The run as the first node has it that answers, and has a leader where that is what was lost: another one, or the lost one
    /// itself, which may be back.
    pub async fn find(&mut self, lost: &Client, run_id: &str, loss: Loss) -> Result<(Client, Run), Refusals> {
        let run_id = run_id.to_owned();
        let wanted = match loss {
            Loss::Node => Wanted::Run(run_id),
            Loss::Leader => Wanted::RunAndLeader(run_id),
        };
        let (client, run) = self.find_what(lost, &wanted).await?;
        Ok((client, run.unwrap_or_default()))
    }

    /// The first node that answers and has a leader, for something new.
    pub async fn find_any(&mut self, lost: &Client) -> Result<Client, Refusals> {
        Ok(self.find_what(lost, &Wanted::Leader).await?.0)
    }

    async fn find_what(&mut self, lost: &Client, wanted: &Wanted) -> Result<(Client, Option<Run>), Refusals> {
        self.are_known().await;
        let (client, run) = self.look(lost, wanted).await?;
        if !self.reached.contains(lost.address()) {
            self.reached.push(lost.address().clone());
        }
        self.learn_again(&client);
        Ok((client, run))
    }

    async fn look(&self, lost: &Client, wanted: &Wanted) -> Result<(Client, Option<Run>), Refusals> {
        let mut refusals = Refusals::default();
        let others = self.instead_of(lost.address());
        let rounds = match wanted {
            Wanted::Run(_) | Wanted::Leader => ROUNDS,
            // Whoever looks comes back: the node itself still answers.
            Wanted::RunAndLeader(_) => 1,
        };
        for _ in 0..rounds {
            sleep(PAUSE).await;
            // The lost one last: it may take a connection and stand still all the same.
            for asked in [&others[..], std::slice::from_ref(lost.address())] {
                if let Some(found) = first(lost, asked, wanted, &mut refusals).await {
                    return Ok(found);
                }
            }
        }
        Err(refusals)
    }
}

/// Asks all of them at once.
async fn first(
    lost: &Client,
    asked: &[Address],
    wanted: &Wanted,
    refusals: &mut Refusals,
) -> Option<(Client, Option<Run>)> {
    let mut asking = JoinSet::new();
    for address in asked {
        let (lost, address, wanted) = (lost.clone(), address.clone(), wanted.clone());
        asking.spawn(async move {
            let answer = timeout(ANSWER_LIMIT, ask(&lost, &address, &wanted)).await;
            let silent = || format!("no answer within {} s", ANSWER_LIMIT.as_secs());
            answer.unwrap_or_else(|_| Err(silent())).map_err(|why| (address.to_string(), why))
        });
    }
    while let Some(answer) = asking.join_next().await {
        match answer {
            Ok(Ok(found)) => return Some(found),
            Ok(Err((address, why))) => {
                refusals.0.insert(address, why);
            }
            // It is not aborted before this returns.
            Err(_) => {}
        }
    }
    None
}

async fn ask(lost: &Client, address: &Address, wanted: &Wanted) -> Result<(Client, Option<Run>), String> {
    // A node of this machine may have left a token of its own for its user; else the one in use may be known to all.
    let left = token::find(None, address).ok().filter(Token::is_set).filter(|_| address != lost.address());
    let mut why = String::new();
    for token in left.map(Some).into_iter().chain([None]) {
        let client = lost.connect_to(address.clone(), token).await.map_err(|error| error.message)?;
        match known(&client, wanted).await {
            Ok(run) => return Ok((client, run)),
            Err(error) => why = error.message,
        }
    }
    Err(why)
}

async fn known(client: &Client, wanted: &Wanted) -> Result<Option<Run>, ApiError> {
    if !matches!(wanted, Wanted::Run(_)) {
        // The list needs a quorum, whatever is in it.
        let nothing = ListRunsRequest { all: false, status: vec![RunStatus::Unspecified.into()] };
        client.list_runs(nothing).await?;
    }
    match wanted {
        Wanted::Run(run_id) | Wanted::RunAndLeader(run_id) => client.run(run_id).await.map(Some),
        Wanted::Leader => Ok(None),
    }
}

/// Whether a node answers, soon enough, and hears of a leader.
pub async fn answers(client: &Client) -> bool {
    timeout(ANSWER_LIMIT, known(client, &Wanted::Leader)).await.is_ok_and(|answer| answer.is_ok())
}

/// Where the members are that know of runs, but for the one that says so.
fn others(told: &ClusterStatusResponse) -> Vec<Address> {
    let knows = |role: &str| matches!(role, "voter" | "learner");
    let others = told.members.iter().filter(|member| member.node_id != told.node_id && knows(&member.role));
    // Without a scheme: by TLS where an authority is given, in the clear on this machine only.
    others.filter_map(|member| member.api_address.parse().ok()).collect()
}

/// What an error says of the node, where that is a reason to ask another one. A reason of its own is an answer; anything else is a
/// broken connection, whatever its code.
pub fn loss(error: &ApiError) -> Option<Loss> {
    match error.reason.as_ref() {
        "" | reason::NODE_UNREACHABLE | reason::NODE_STOPPING | reason::NODE_TIMED_OUT => Some(Loss::Node),
        reason::NO_LEADER => Some(Loss::Leader),
        _ => None,
    }
}

/// The same for a write that is sent again under its request id.
pub fn loss_in_write(error: &ApiError) -> Option<Loss> {
    match error.reason.as_ref() {
        reason::OUTCOME_UNKNOWN => Some(Loss::Leader),
        _ => loss(error),
    }
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

    fn at(text: &str) -> Address {
        Address::Tcp(text.to_owned())
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
        assert_eq!(others(&told), ["b.example:7400", "c.example:7400"].map(at));
    }

    #[test]
    fn a_refusal_is_an_answer_and_a_broken_connection_is_none() {
        let of = |reason| loss(&ApiError::unavailable(reason, "x"));
        for reason in ["", reason::NODE_UNREACHABLE, reason::NODE_STOPPING, reason::NODE_TIMED_OUT] {
            assert_eq!(of(reason), Some(Loss::Node), "{reason}");
        }
        assert_eq!(of(reason::NO_LEADER), Some(Loss::Leader));
        for reason in [reason::RUN_NOT_FOUND, reason::UNAUTHENTICATED, reason::OUTCOME_UNKNOWN] {
            assert_eq!(of(reason), None, "{reason}");
        }
        assert_eq!(loss_in_write(&ApiError::unavailable(reason::OUTCOME_UNKNOWN, "x")), Some(Loss::Leader));
    }

    #[test]
    fn what_is_learned_later_replaces_what_was_and_silence_does_not() {
        let mut others = OtherNodes::default();
        others.reached = vec![at("a:1"), at("b:1")];
        others.take(vec![at("b:1"), at("c:1")]);
        others.take(Vec::new());
        assert_eq!(others.instead_of(&at("a:1")), [at("b:1"), at("c:1")], "each once, and not the lost one");
        others.take(vec![at("d:1")]);
        assert_eq!(others.instead_of(&at("d:1")), [at("a:1"), at("b:1")]);
    }

    #[test]
    fn why_each_node_is_of_no_use_is_said() {
        let refusals =
            Refusals([("a:1", "refused"), ("b:1", "no answer within 3 s")].map(|(a, b)| (a.into(), b.into())).into());
        assert_eq!(refusals.text(), "a:1: refused; b:1: no answer within 3 s");
    }
}
