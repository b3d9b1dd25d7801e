//! Members that drain: what they have left, and who may.

use std::collections::BTreeMap;

use dspex_api::{ApiError, key, reason, v1};
use dspex_model::{NodeId, RunStatus};

use super::Node;
use super::cluster::called;

/// Says of each member whether it drains, and what it has of runs.
pub(super) fn tell(node: &Node, members: &mut [v1::Member]) {
    let draining = node.tree.draining_nodes();
    let owned = node.consensus.read_stale(|state| {
        let mut owned: BTreeMap<u64, u32> = BTreeMap::new();
        for (_, run) in state.runs().filter(|(_, run)| run.progress.status == RunStatus::Running) {
            *owned.entry(run.progress.owner.0).or_default() += 1;
        }
        owned
    });
    for member in members {
        let id = NodeId(member.node_id);
        member.draining = draining.contains(&id);
        member.workers = node.tree.run_workers(id);
        member.runs = owned.get(&id.0).copied().unwrap_or(0);
    }
}

/// Whether somebody is there for what the member has and for what comes: another voter that answers and takes work. The log knows
/// who drains, and not who is away.
pub(super) fn others_take_work(members: &[v1::Member], without: &v1::Member) -> Result<(), ApiError> {
    let takes_work = |member: &&v1::Member| {
        member.node_id != without.node_id && member.role == "voter" && member.reachable && !member.draining
    };
    if without.draining || members.iter().any(|member| takes_work(&member)) {
        return Ok(());
    }
    let message =
        format!("without {} no voter would take work: every other one drains or does not answer", called(without));
    Err(ApiError::precondition(reason::MEMBER_CHANGE_REFUSED, message).with(
        key::HINT,
        "bring another voter back, or let one take work again (dspex member drain MEMBER --undo); a node that nobody can stand in \
         for is simply stopped",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(node_id: u64) -> v1::Member {
        v1::Member { node_id, role: "voter".to_owned(), reachable: true, ..v1::Member::default() }
    }

    #[test]
    fn a_member_drains_only_where_another_voter_answers_and_takes_work() {
        let with = |others: &[v1::Member]| others_take_work(&[&[member(1)], others].concat(), &member(1));
        assert!(with(&[member(2)]).is_ok());
        let learner = v1::Member { role: "learner".to_owned(), ..member(2) };
        let away = v1::Member { reachable: false, ..member(3) };
        let drains = v1::Member { draining: true, ..member(4) };
        let error = with(&[learner, away, drains]).expect_err("nobody is left");
        assert_eq!(error.reason, reason::MEMBER_CHANGE_REFUSED);
        assert!(error.message.contains("without node 1 no voter would take work"), "{error}");
        assert!(error.get(key::HINT).is_some_and(|hint| hint.contains("--undo")));
        assert!(with(&[]).is_err(), "a cluster of one");
    }

    #[test]
    fn a_repeat_is_not_refused_whoever_is_away_by_now() {
        let drains = v1::Member { draining: true, ..member(1) };
        assert!(others_take_work(std::slice::from_ref(&drains), &drains).is_ok());
    }
}
