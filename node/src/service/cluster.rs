//! The service Cluster: members, and who leads.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use dspex_api::v1::cluster_server::Cluster;
use dspex_api::v1::{
    self, AddMemberRequest, ChangeMemberRequest, ClusterStatusRequest, ClusterStatusResponse, StateHashRequest,
    StateHashResponse,
};
use dspex_api::{ApiError, Code, reason};
use dspex_consensus::{FormationError, MemberChange, MemberStatus};
use dspex_model::{Command, NodeId, NodeRecord, Proposal};
use tonic::{Request, Response, Status};

use super::{Node, errors, translate};

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
        let leader = leader(&survey, self.node.consensus.status().leader);
        let last = survey.iter().filter(|member| Some(member.node) == leader).find_map(last_index);
        let named = |node: NodeId| self.node.consensus.read_stale(|state| state.node(node).cloned());
        survey.iter().map(|member| shown(member, named(member.node).as_ref(), leader, last)).collect()
    }

    /// The member with this id or name.
    async fn find(&self, wanted: &str) -> Result<NodeId, ApiError> {
        let members = self.members().await;
        let matching: Vec<&v1::Member> = members
            .iter()
            .filter(|member| member.node_id.to_string() == wanted || (!wanted.is_empty() && member.name == wanted))
            .collect();
        match matching[..] {
            [member] => Ok(NodeId(member.node_id)),
            [] => {
                let message = format!("no member has the id or name {wanted:?}; `dspex member list` shows them");
                Err(ApiError::not_found(reason::MEMBER_NOT_FOUND, message))
            }
            _ => {
                let message = format!("several members have the name {wanted:?}: use the id");
                Err(ApiError::new(Code::NotFound, reason::MEMBER_AMBIGUOUS, message))
            }
        }
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
        let node = self.find(&member).await?;
        if takes_a_vote && !force {
            keeps_quorum(&self.node.consensus.survey(SURVEY_LIMIT).await, node)?;
        }
        let changed = self.node.consensus.change_members(&change(node, force), CHANGE_LIMIT).await;
        changed.map_err(|error| errors::member(&error))?;
        self.note(actor, action, node).await;
        Ok(Response::new(self.member(node).await))
    }

    /// Into the audit trail. The change is made already: a note that is lost is logged, not an error.
    async fn note(&self, actor: Option<String>, action: &str, node: NodeId) {
        let command = Command::Audit { action: action.to_owned(), subject: node.to_string() };
        let proposal = Proposal { actor, ..Proposal::internal(command) };
        if let Err(error) = self.node.consensus.propose(proposal).await {
            tracing::warn!(%error, action, %node, "the change is not in the audit trail");
        }
    }

    async fn member(&self, node: NodeId) -> v1::Member {
        let found = self.members().await.into_iter().find(|member| member.node_id == node.0);
        found.unwrap_or_else(|| v1::Member { node_id: node.0, ..v1::Member::default() })
    }
}

/// Whom most say, or this node's own word.
fn leader(survey: &[MemberStatus], own: Option<NodeId>) -> Option<NodeId> {
    let leads = survey.iter().filter_map(|member| member.status.as_ref()).filter(|status| status.is_leader);
    leads.max_by_key(|status| status.term).map(|status| status.node_id).or(own)
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
    }
}

/// Whether those who answer could still decide without this voter.
fn keeps_quorum(survey: &[MemberStatus], without: NodeId) -> Result<(), ApiError> {
    let voters: BTreeSet<NodeId> = survey.iter().filter(|member| member.is_voter).map(|member| member.node).collect();
    if !voters.contains(&without) {
        return Ok(());
    }
    let left: Vec<&MemberStatus> = survey.iter().filter(|member| member.is_voter && member.node != without).collect();
    let answering = left.iter().filter(|member| member.status.is_some()).count();
    let needed = left.len() / 2 + 1;
    if left.is_empty() || answering < needed {
        let message = format!(
            "without node {without} {} voter(s) would be left, {answering} of which answer, and {needed} are needed: bring \
             the others back first",
            left.len()
        );
        return Err(ApiError::precondition(reason::QUORUM_AT_RISK, message));
    }
    Ok(())
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
        let node = self.node.consensus.admit(&address, CHANGE_LIMIT).await.map_err(|error| match error {
            FormationError::Members(error) => errors::member(&error),
            FormationError::Unreachable { .. } => ApiError::unavailable(reason::NODE_UNREACHABLE, error.to_string()),
            other => ApiError::precondition(reason::MEMBER_CHANGE_REFUSED, other.to_string()),
        })?;
        self.note(actor, "member add", node).await;
        Ok(Response::new(self.member(node).await))
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(node: u64, is_voter: bool, answers: bool) -> MemberStatus {
        let status = answers.then(|| dspex_consensus::Status {
            node_id: NodeId(node),
            term: 1,
            leader: None,
            is_leader: false,
            last_index: None,
            committed_index: None,
            applied_index: None,
            snapshot_index: None,
            purged_index: None,
            voters: Vec::new(),
            learners: Vec::new(),
            failure: None,
        });
        MemberStatus { node: NodeId(node), address: String::new(), is_voter, status }
    }

    #[test]
    fn a_voter_goes_only_where_the_rest_can_decide() {
        let all = [member(1, true, true), member(2, true, true), member(3, true, true), member(4, false, true)];
        assert!(keeps_quorum(&all, NodeId(3)).is_ok());
        let two = [member(1, true, true), member(2, true, false), member(3, true, true)];
        assert!(keeps_quorum(&two, NodeId(2)).is_ok(), "the one that is gone may go");
        let error = keeps_quorum(&two, NodeId(3)).expect_err("one of two would be left");
        assert_eq!(error.reason, reason::QUORUM_AT_RISK);
        assert!(keeps_quorum(&[member(1, true, true)], NodeId(1)).is_err(), "the last one");
        assert!(keeps_quorum(&all, NodeId(4)).is_ok(), "a learner has no vote");
    }
}
