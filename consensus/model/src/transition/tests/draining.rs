//! Nodes that take nothing new: who may, until when, and what ends it.

use super::story::Story;
use crate::{AuditEntry, Command, NodeId, NodeInfo, Outcome, Proposal, Rejection};

const OTHER: NodeId = NodeId(2);
const WORKER: NodeId = NodeId(7);

fn admit(node: NodeId) -> Command {
    Command::AdmitNode { node, info: Box::new(NodeInfo::default()) }
}

fn lease(node: NodeId, ttl_ms: u64) -> Command {
    Command::LeaseNode { node, info: Box::default(), ttl_ms }
}

fn drain(node: NodeId) -> Command {
    Command::DrainNode { node, drain: true }
}

fn undo(node: NodeId) -> Command {
    Command::DrainNode { node, drain: false }
}

/// Two nodes with a vote and one without.
fn cluster() -> Story {
    let mut story = Story::default();
    story.apply(admit(super::NODE));
    story.apply(admit(OTHER));
    story.apply(lease(WORKER, 30_000));
    story
}

fn draining(story: &Story) -> Vec<NodeId> {
    story.state.draining().map(|(node, _)| node).collect()
}

#[test]
fn a_node_drains_until_that_is_undone_and_a_repeat_changes_nothing() {
    let mut story = cluster();
    assert!(!story.state.is_draining(super::NODE));
    assert_eq!(story.apply(drain(super::NODE)), (Outcome::Done, Vec::new()));
    let since_ms = story.now_ms;
    assert_eq!(story.apply(drain(super::NODE)).0, Outcome::Done);
    assert_eq!(story.state.draining().collect::<Vec<_>>(), [(super::NODE, since_ms)], "since the first time");
    assert!(story.state.is_draining(super::NODE) && !story.state.is_draining(OTHER));
    assert_eq!(story.apply(undo(super::NODE)).0, Outcome::Done);
    assert_eq!(story.apply(undo(super::NODE)).0, Outcome::Done);
    assert_eq!(draining(&story), []);
}

#[test]
fn a_node_that_nobody_knows_does_not_drain() {
    let mut story = cluster();
    let unknown = Outcome::Rejected(Rejection::NodeNotFound(NodeId(9)));
    assert_eq!(story.apply(drain(NodeId(9))).0, unknown);
    assert_eq!(story.apply(undo(NodeId(9))), (Outcome::Done, Vec::new()), "it does not drain: nothing is to be undone");
    assert_eq!(draining(&story), []);
}

#[test]
fn the_last_voter_that_takes_work_goes_on_taking_it_whoever_else_works() {
    let mut story = cluster();
    story.apply(drain(OTHER));
    let refused = story.apply(drain(super::NODE)).0;
    assert_eq!(refused, Outcome::Rejected(Rejection::OnlyNode(super::NODE)));
    let Outcome::Rejected(rejection) = refused else { unreachable!("compared above") };
    assert!(rejection.to_string().contains("`dspex member drain NODE --undo`"), "{rejection}");
    assert_eq!(story.apply(drain(WORKER)).0, Outcome::Done, "one with a vote is left");
    story.apply(undo(OTHER));
    assert_eq!(story.apply(drain(super::NODE)).0, Outcome::Done);
    assert_eq!(draining(&story), [super::NODE, WORKER]);
    let mut alone = Story::default();
    alone.apply(admit(super::NODE));
    assert_eq!(alone.apply(drain(super::NODE)).0, Outcome::Rejected(Rejection::OnlyNode(super::NODE)));
}

#[test]
fn a_node_that_starts_again_takes_work_and_one_that_is_removed_leaves_nothing() {
    let mut story = cluster();
    story.apply(drain(super::NODE));
    story.apply(admit(OTHER));
    assert_eq!(draining(&story), [super::NODE], "another one's start is not its own");
    story.apply(admit(super::NODE));
    assert_eq!(draining(&story), []);
    story.apply(drain(OTHER));
    story.apply(Command::ForgetNode { node: OTHER });
    assert_eq!(draining(&story), []);
}

#[test]
fn a_node_without_a_vote_drains_until_it_leaves_or_vanishes() {
    let mut story = cluster();
    story.apply(drain(WORKER));
    story.now_ms += 20_000;
    story.apply(lease(WORKER, 30_000));
    assert_eq!(draining(&story), [WORKER], "it was there all the time");
    story.now_ms += 30_000;
    story.apply(lease(WORKER, 30_000));
    assert_eq!(draining(&story), [], "it has vanished and come back");
    story.apply(drain(WORKER));
    story.apply(lease(WORKER, 0));
    assert_eq!(draining(&story), [], "it has left");
}

#[test]
fn what_vanished_while_it_drained_is_forgotten_whole() {
    let mut story = cluster();
    story.apply(drain(WORKER));
    story.now_ms += 25 * 3_600_000;
    story.apply(lease(NodeId(8), 1_000));
    assert_eq!((story.state.lease(WORKER), draining(&story)), (None, Vec::new()));
}

#[test]
fn who_drained_a_node_stands_in_the_audit_trail_with_what_was_refused() {
    let mut story = cluster();
    for command in [drain(super::NODE), undo(super::NODE), drain(NodeId(9))] {
        story.apply_proposal(Proposal { actor: Some("anna".to_owned()), ..Proposal::internal(command) });
    }
    let shown = |(_, entry): (u64, &AuditEntry)| (entry.action.clone(), entry.subject.clone(), entry.refusal.is_some());
    let trail: Vec<_> = story.state.audit().map(shown).collect();
    let entry = |subject: &str, is_refused| ("member drain".to_owned(), subject.to_owned(), is_refused);
    assert_eq!(trail, [entry("9", true), entry("1 (undone)", false), entry("1", false)]);
}
