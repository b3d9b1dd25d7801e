//! The service Cluster: members, and who leads.

use std::sync::Arc;
use std::time::Duration;

use dspex_api::v1::cluster_server::Cluster;
use dspex_api::v1::{
    self, AddMemberRequest, ChangeMemberRequest, ClusterStatusRequest, ClusterStatusResponse, DrainMemberRequest,
    StateHashRequest, StateHashResponse,
};
use dspex_api::{ApiError, Code, key, reason};
use dspex_consensus::{FormationError, MemberChange, MemberStatus, Status as ConsensusStatus};
use dspex_model::{Command, NodeId, NodeLease, NodeRecord, Proposal, quoted};
use tonic::{Request, Response, Status};

use super::{Node, drained, errors, translate};
use crate::configuration::is_host_and_port;

/// What a node without a vote is called.
const WORKER: &str = "worker";
/// For a member to say how it stands.
const SURVEY_LIMIT: Duration = Duration::from_millis(1500);
/// For a change of the members; promoting waits until the learner has caught up.
const CHANGE_LIMIT: Duration = Duration::from_secs(60);

pub(crate) struct ClusterService {
    node: Arc<Node>,
}

impl ClusterService {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node }
    }

    async fn members(&self) -> Vec<v1::Member> {
        let survey = self.node.consensus.survey(SURVEY_LIMIT).await;
        let leader = leader(&survey, &self.node.consensus.status());
        let last = survey.iter().filter(|member| Some(member.node) == leader).find_map(last_index);
        let named = |node: NodeId| self.node.consensus.read_stale(|state| state.node(node).cloned());
        let members = survey.iter().map(|member| shown(member, named(member.node).as_ref(), leader, last));
        let mut members: Vec<v1::Member> = members.chain(self.workers()).collect();
        drained::tell(&self.node, &mut members);
        members
    }

    /// The nodes without a vote.
    fn workers(&self) -> Vec<v1::Member> {
        self.node.consensus.read_stale(|state| {
            let now_ms = state.log_time_ms();
            let shown = |(node, lease): (NodeId, &NodeLease)| v1::Member {
                node_id: node.0,
                name: lease.info.name.clone(),
                api_address: lease.info.api_address.clone(),
                role: WORKER.to_owned(),
                version: lease.info.version.clone(),
                reachable: lease.holds(now_ms),
                ..v1::Member::default()
            };
            state.leases().map(shown).collect()
        })
    }

    /// The member with this id or name.
    async fn find(&self, wanted: &str) -> Result<v1::Member, ApiError> {
        named(&self.members().await, wanted)
    }

    async fn change(
        &self,
        request: Request<ChangeMemberRequest>,
        action: &str,
        change: impl FnOnce(NodeId, bool) -> MemberChange,
        takes_a_vote: bool,
    ) -> Result<Response<v1::Member>, Status> {
        let _call = self.node.activity.enter();
        let (actor, request) = translate::actor(request);
        let ChangeMemberRequest { member, force, .. } = request;
        let member = self.find(&member).await?;
        if member.role == WORKER {
            let message = format!(
                "{} only works for the cluster: nobody has to admit or remove it. It leaves when it is stopped, and is forgotten a day after it \
                 vanished",
                quoted(&member.name)
            );
            return Err(ApiError::new(Code::FailedPrecondition, reason::MEMBER_CHANGE_REFUSED, message).into());
        }
        let node = NodeId(member.node_id);
        if takes_a_vote {
            let survey = self.node.consensus.survey(SURVEY_LIMIT).await;
            keeps_a_voter(&survey, &member)?;
            if !force {
                keeps_quorum(&survey, &member)?;
            }
        }
        let changed = self.node.consensus.change_members(&change(node, force), CHANGE_LIMIT).await;
        changed.map_err(|error| errors::member(&error))?;
        self.note(actor, action, node).await;
        // One that was removed is shown as it was.
        Ok(Response::new(self.member(node).await.unwrap_or(member)))
    }

    /// Into the audit trail. The change is made already: a note that is lost is logged, not an error.
    async fn note(&self, actor: Option<String>, action: &str, node: NodeId) {
        let command = Command::Audit { action: action.to_owned(), subject: node.to_string() };
        let proposal = Proposal { actor, ..Proposal::internal(command) };
        if let Err(error) = self.node.consensus.propose(proposal).await {
            tracing::warn!(%error, action, %node, "the change is not in the audit trail");
        }
    }

    async fn member(&self, node: NodeId) -> Option<v1::Member> {
        self.members().await.into_iter().find(|member| member.node_id == node.0)
    }
}

/// The one of them with this id or name.
fn named(members: &[v1::Member], wanted: &str) -> Result<v1::Member, ApiError> {
    let is_meant =
        |member: &&v1::Member| member.node_id.to_string() == wanted || (!wanted.is_empty() && member.name == wanted);
    let matching: Vec<&v1::Member> = members.iter().filter(is_meant).collect();
    match matching.as_slice() {
        [member] => Ok((*member).clone()),
        [] => {
            let message = format!("no member has the id or name {}; `dspex member list` shows them", quoted(wanted));
            Err(ApiError::not_found(reason::MEMBER_NOT_FOUND, message))
        }
        _ => {
            let message = format!("several members have the name {}: use the id", quoted(wanted));
            Err(ApiError::new(Code::NotFound, reason::MEMBER_AMBIGUOUS, message))
        }
    }
}

/// Who leads, in the words of those who answer, this node included. The latest term counts: a leader of an earlier one that
/// has not heard of it yet still says that it leads.
fn leader(survey: &[MemberStatus], own: &ConsensusStatus) -> Option<NodeId> {
    let said = survey.iter().filter_map(|member| member.status.as_ref()).chain([own]);
    let known = said.filter_map(|status| {
        let leader = if status.is_leader { Some(status.node_id) } else { status.leader };
        leader.map(|leader| (status.term, leader))
    });
    known.max_by_key(|(term, _)| *term).map(|(_, leader)| leader)
}

fn last_index(member: &MemberStatus) -> Option<u64> {
    member.status.as_ref()?.last_index
}

fn shown(member: &MemberStatus, said: Option<&NodeRecord>, leader: Option<NodeId>, last: Option<u64>) -> v1::Member {
    let status = member.status.as_ref();
    let info = said.map(|said| said.info.clone()).unwrap_or_default();
    v1::Member {
        node_id: member.node.0,
        name: info.name,
        peer_address: member.address.clone(),
        api_address: info.api_address,
        role: if member.is_voter { "voter" } else { "learner" }.to_owned(),
        leader: leader == Some(member.node),
        term: status.map(|status| status.term),
        last_index: status.and_then(|status| status.last_index),
        committed_index: status.and_then(|status| status.committed_index),
        applied_index: status.and_then(|status| status.applied_index),
        snapshot_index: status.and_then(|status| status.snapshot_index),
        lag: last.zip(status).map(|(last, status)| last.saturating_sub(status.applied_index.unwrap_or(0))),
        version: info.version,
        reachable: status.is_some(),
        sandbox: status.map(|status| status.remark.clone()).unwrap_or_default(),
        ..v1::Member::default()
    }
}

/// A cluster without a voter decides nothing any more, whoever forces it.
fn keeps_a_voter(survey: &[MemberStatus], without: &v1::Member) -> Result<(), ApiError> {
    let mut voters = survey.iter().filter(|member| member.is_voter);
    if voters.next().is_none_or(|only| only.node.0 != without.node_id) || voters.next().is_some() {
        return Ok(());
    }
    let message = format!("{} is the only voter: a cluster has at least one", called(without));
    Err(ApiError::precondition(reason::MEMBER_CHANGE_REFUSED, message).with(
        key::HINT,
        "give another member a vote first (dspex member promote); to give the cluster up, stop its node and remove its data \
         directory",
    ))
}

/// Whether those who answer could still decide without this voter.
fn keeps_quorum(survey: &[MemberStatus], without: &v1::Member) -> Result<(), ApiError> {
    let (taken, left): (Vec<&MemberStatus>, Vec<&MemberStatus>) =
        survey.iter().filter(|member| member.is_voter).partition(|member| member.node.0 == without.node_id);
    let answering = left.iter().filter(|member| member.status.is_some()).count();
    let needed = left.len() / 2 + 1;
    if taken.is_empty() || answering >= needed {
        return Ok(());
    }
    let message = format!(
        "without {} {} voter(s) would be left, {answering} of which answer, and {needed} are needed: bring the others back \
         first",
        called(without),
        left.len()
    );
    Err(ApiError::precondition(reason::QUORUM_AT_RISK, message))
}

/// By name and id, as far as it has a name.
pub(super) fn called(member: &v1::Member) -> String {
    match member.name.as_str() {
        "" => format!("node {}", member.node_id),
        name => format!("{name} ({})", member.node_id),
    }
}

/// An address to which nobody, or nobody who can be added, answers.
fn not_added(address: &str, error: &FormationError) -> ApiError {
    match error {
        FormationError::Members(error) => errors::member(error),
        FormationError::Unreachable { detail, .. } => {
            let message = format!("{address} was not added: the node that was asked does not reach it ({detail})");
            ApiError::unavailable(reason::NODE_UNREACHABLE, message).with(
                key::HINT,
                format!(
                    "is `dspex node` running there, with [peers] advertise = \"{address}\"? Name its peer port (7410), \
                     not the API's"
                ),
            )
        }
        other => ApiError::precondition(reason::MEMBER_CHANGE_REFUSED, other.to_string()),
    }
}

#[tonic::async_trait]
impl Cluster for ClusterService {
    async fn status(&self, _: Request<ClusterStatusRequest>) -> Result<Response<ClusterStatusResponse>, Status> {
        let members = self.members().await;
        let status = self.node.consensus.status();
        let (cluster_id, log_time_ms) = self.node.consensus.read_stale(|state| {
            (state.cluster().map(|cluster| cluster.id.clone()).unwrap_or_default(), state.log_time_ms())
        });
        let leader_id = members.iter().find(|member| member.leader).map_or(0, |member| member.node_id);
        let (node_id, term) = (status.node_id.0, status.term);
        Ok(Response::new(ClusterStatusResponse { cluster_id, node_id, leader_id, term, members, log_time_ms }))
    }

    async fn hash(&self, _: Request<StateHashRequest>) -> Result<Response<StateHashResponse>, Status> {
        let consensus = self.node.consensus.clone();
        // The state is locked for both, so they belong together. It takes a second for a gigabyte.
        let hashing = move || consensus.read_applied(|index, state| (index, state.digest()));
        let hashed = tokio::task::spawn_blocking(hashing).await;
        let (applied_index, hash) = hashed.map_err(|error| ApiError::internal(error.to_string()))?;
        Ok(Response::new(StateHashResponse { applied_index, hash: hash.to_string() }))
    }

    async fn add_member(&self, request: Request<AddMemberRequest>) -> Result<Response<v1::Member>, Status> {
        let _call = self.node.activity.enter();
        let (actor, AddMemberRequest { address, .. }) = translate::actor(request);
        if !is_host_and_port(&address) {
            let message = format!("address: {} is not HOST:PORT, like node-1.example:7410", quoted(&address));
            return Err(ApiError::invalid(reason::REQUEST_INVALID, message).into());
        }
        let admitted = self.node.consensus.admit(&address, CHANGE_LIMIT).await;
        let node = admitted.map_err(|error| not_added(&address, &error))?;
        self.note(actor, "member add", node).await;
        let unknown = || v1::Member { node_id: node.0, peer_address: address, ..v1::Member::default() };
        Ok(Response::new(self.member(node).await.unwrap_or_else(unknown)))
    }

    async fn promote_member(&self, request: Request<ChangeMemberRequest>) -> Result<Response<v1::Member>, Status> {
        self.change(request, "member promote", |node, _| MemberChange::Promote { node }, false).await
    }

    async fn demote_member(&self, request: Request<ChangeMemberRequest>) -> Result<Response<v1::Member>, Status> {
        self.change(request, "member demote", |node, forced| MemberChange::Demote { node, forced }, true).await
    }

    async fn remove_member(&self, request: Request<ChangeMemberRequest>) -> Result<Response<v1::Member>, Status> {
        let removed =
            self.change(request, "member remove", |node, forced| MemberChange::Remove { node, forced }, true).await?;
        // What it said of itself. Where this fails it stays, and is not shown: it is no member.
        let node = NodeId(removed.get_ref().node_id);
        if let Err(error) = self.node.consensus.propose(Proposal::internal(Command::ForgetNode { node })).await {
            tracing::warn!(%error, %node, "what the removed node said of itself is still in the log");
        }
        Ok(removed)
    }

    async fn transfer_leader(&self, request: Request<ChangeMemberRequest>) -> Result<Response<v1::Member>, Status> {
        self.change(request, "member transfer-leader", |node, _| MemberChange::Transfer { node }, false).await
    }

    async fn drain_member(&self, request: Request<DrainMemberRequest>) -> Result<Response<v1::Member>, Status> {
        let _call = self.node.activity.enter();
        let (actor, DrainMemberRequest { request_id, member, undo }) = translate::actor(request);
        let members = self.members().await;
        let member = named(&members, &member)?;
        if !undo {
            drained::others_take_work(&members, &member)?;
        }
        let command = Command::DrainNode { node: NodeId(member.node_id), drain: !undo };
        self.node.write(request_id, actor, command).await?;
        let member = self.member(NodeId(member.node_id)).await.unwrap_or(member);
        // The log's word is the last one; the member itself hears of it a moment later than whoever asked for it.
        Ok(Response::new(v1::Member { draining: !undo, ..member }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In this term it follows that leader, itself perhaps.
    fn status(node: u64, term: u64, leader: Option<u64>) -> ConsensusStatus {
        ConsensusStatus {
            node_id: NodeId(node),
            term,
            leader: leader.map(NodeId),
            is_leader: leader == Some(node),
            last_index: None,
            committed_index: None,
            applied_index: None,
            snapshot_index: None,
            purged_index: None,
            voters: Vec::new(),
            learners: Vec::new(),
            failure: None,
            remark: String::new(),
        }
    }

    fn member(node: u64, is_voter: bool, answers: bool) -> MemberStatus {
        let status = answers.then(|| status(node, 1, None));
        MemberStatus { node: NodeId(node), address: String::new(), is_voter, status }
    }

    fn says(status: ConsensusStatus) -> MemberStatus {
        let node = status.node_id.0;
        MemberStatus { status: Some(status), ..member(node, true, false) }
    }

    fn called_node(node: u64) -> v1::Member {
        v1::Member { node_id: node, name: format!("node-{node}"), ..v1::Member::default() }
    }

    #[test]
    fn who_leads_is_the_word_of_the_latest_term() {
        let (old, follower) = (status(1, 4, Some(1)), status(2, 5, Some(3)));
        let cut_off = [says(old.clone()), says(follower.clone()), member(3, true, false)];
        assert_eq!(leader(&cut_off, &follower), Some(NodeId(3)), "it leads, though it does not answer");
        assert_eq!(leader(&cut_off, &old), Some(NodeId(3)), "whoever is asked");
        let alone = [says(old.clone()), member(2, true, false), member(3, true, false)];
        assert_eq!(leader(&alone, &old), Some(NodeId(1)));
        // A candidate of a later term knows no leader.
        let electing = [says(follower.clone()), says(status(1, 6, None))];
        assert_eq!(leader(&electing, &follower), Some(NodeId(3)));
        assert_eq!(leader(&[member(1, true, true)], &status(1, 1, None)), None);
    }

    #[test]
    fn a_voter_goes_only_where_the_rest_can_decide() {
        let all = [member(1, true, true), member(2, true, true), member(3, true, true), member(4, false, true)];
        assert!(keeps_quorum(&all, &called_node(3)).is_ok());
        let two = [member(1, true, true), member(2, true, false), member(3, true, true)];
        assert!(keeps_quorum(&two, &called_node(2)).is_ok(), "the one that is gone may go");
        let error = keeps_quorum(&two, &called_node(3)).expect_err("one of two would be left");
        assert_eq!(error.reason, reason::QUORUM_AT_RISK);
        assert!(error.message.contains("without node-3 (3) 2 voter(s)"), "{error}");
        assert!(keeps_quorum(&all, &called_node(4)).is_ok(), "a learner has no vote");
    }

    #[test]
    fn the_only_voter_stays() {
        let one = [member(1, true, true), member(4, false, true)];
        let error = keeps_a_voter(&one, &called_node(1)).expect_err("the only one");
        assert_eq!(error.reason, reason::MEMBER_CHANGE_REFUSED);
        assert!(error.message.contains("node-1 (1) is the only voter"), "{error}");
        assert!(keeps_a_voter(&one, &called_node(4)).is_ok());
        assert!(keeps_a_voter(&[member(1, true, true), member(2, true, false)], &called_node(1)).is_ok());
    }
}
