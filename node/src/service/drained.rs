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
    let is_other = |member: &&v1::Member| member.node_id != without.node_id && member.role == "voter";
    let mut others = members.iter().filter(is_other).peekable();
    let has_others = others.peek().is_some();
    if without.draining || others.any(|member| member.reachable && !member.draining) {
        return Ok(());
    }
    let name = called(without);
    let (message, hint) = match has_others {
        true => (
            format!("without {name} no voter would take work: every other one drains or does not answer"),
            "bring another voter back, or let one take work again (dspex member drain MEMBER --undo); a node that nobody can stand \
             in for is simply stopped",
        ),
        false => (
            format!("{name} is the only voter: nobody else could take its work"),
            "stop it instead (SIGTERM): what it executes has a few seconds to finish, and its runs go on when it starts again. In a \
             cluster another member can be given a vote first (dspex member add, dspex member promote)",
        ),
    };
    Err(ApiError::precondition(reason::MEMBER_CHANGE_REFUSED, message).with(key::HINT, hint))
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
    }

    #[test]
    fn the_only_voter_is_stopped_and_not_drained_whoever_works_beside_it() {
        let worker = v1::Member { role: "worker".to_owned(), ..member(2) };
        for members in [vec![member(1)], vec![member(1), worker.clone()]] {
            let error = others_take_work(&members, &member(1)).expect_err("nobody else");
            assert_eq!(error.message, "node 1 is the only voter: nobody else could take its work");
            assert!(error.get(key::HINT).is_some_and(|hint| hint.contains("SIGTERM") && !hint.contains("--undo")));
        }
        assert!(others_take_work(&[member(1), worker.clone()], &worker).is_ok(), "the voter is there for its work");
    }

    #[test]
    fn a_repeat_is_not_refused_whoever_is_away_by_now() {
        let drains = v1::Member { draining: true, ..member(1) };
        assert!(others_take_work(std::slice::from_ref(&drains), &drains).is_ok());
    }
}
