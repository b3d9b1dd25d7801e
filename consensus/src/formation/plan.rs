//! Whether a node forms a cluster, waits for one, or finds one: decided over what the nodes say of themselves.
//!
//! A cluster is formed once, by the node with the least id of exactly as many as were asked for, after all of them have
//! stored its id. A node stores one id and never another, so two half-formed clusters cannot both come about.

use std::collections::{BTreeMap, BTreeSet};

use dspex_model::NodeId;

/// What a node says of itself before there is a log to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Introduction {
    /// The node.
    pub node: NodeId,
    /// Where its peers reach it.
    pub address: String,
    /// The cluster whose id it has stored.
    pub cluster: Option<String>,
    /// Whether its log has begun: it is, or was, a member.
    pub formed: bool,
    /// How many voters it was told to expect.
    pub expect: u32,
}

/// What is said of a log that has begun outside of a cluster.
pub(crate) const ALONE: &str = "this node's data directory has a log of its own, from a time when the node ran without peers; \
     a cluster would overwrite it: give the node an empty data directory (what it has stays in the old one), or start it without [peers]";

/// Why this node can never be a member of a cluster: its log has begun, and not in one.
pub(crate) fn alone(own: &Introduction) -> Option<String> {
    (own.formed && own.cluster.is_none()).then(|| ALONE.to_owned())
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// This node forms the cluster.
    Form {
        /// The id that some have stored already.
        cluster: Option<String>,
        members: BTreeMap<NodeId, String>,
    },
    /// Ask again in a while.
    Wait(String),
    /// There is a cluster; an operator has to admit this node.
    Found(String),
    /// No amount of waiting helps.
    Never(String),
}

/// `found` holds this node and everybody who answered at the addresses in `cluster.join`; `silent` those who did not.
pub(super) fn next_step(own: &Introduction, found: &[Introduction], silent: &[String]) -> Step {
    if let Some(other) = found.iter().find(|other| other.formed && other.cluster.is_none()) {
        return Step::Never(format!(
            "the node at {} has a log of its own, from a time when it ran without peers, and no cluster: give it an empty \
             data directory, or leave it out of cluster.join",
            other.address
        ));
    }
    let nodes: BTreeMap<NodeId, &Introduction> =
        found.iter().chain([own]).map(|introduction| (introduction.node, introduction)).collect();
    let clusters = |formed: bool| -> BTreeSet<&str> {
        let those = nodes.values().filter(|introduction| introduction.formed == formed);
        those.filter_map(|introduction| introduction.cluster.as_deref()).collect()
    };
    let formed = clusters(true);
    if let Some(cluster) = formed.first() {
        return of_formed(own, cluster, formed.len());
    }
    let promised = clusters(false);
    if promised.len() > 1 {
        return Step::Never(format!(
            "the nodes in cluster.join have begun {} clusters ({}), none of which exists: their data directories hold \
             nothing yet; empty those of one side and start it again",
            promised.len(),
            promised.into_iter().collect::<Vec<_>>().join(", ")
        ));
    }
    if let Some(other) = nodes.values().find(|introduction| introduction.expect != own.expect) {
        return Step::Never(format!(
            "node {} has cluster.bootstrap_expect = {}, this node {}: give all of them the same",
            other.node, other.expect, own.expect
        ));
    }
    let (have, expect) = (nodes.len(), own.expect as usize);
    if have > expect {
        return Step::Never(format!(
            "cluster.join leads to {have} nodes, and cluster.bootstrap_expect is {expect}: name exactly the first voters"
        ));
    }
    if have < expect {
        let silent = if silent.is_empty() { String::new() } else { format!("; no answer from {}", silent.join(", ")) };
        return Step::Wait(format!("{have} of {expect} voters have been found{silent}"));
    }
    match nodes.first_key_value() {
        Some((&least, _)) if least != own.node => Step::Wait(format!("node {least} forms the cluster")),
        _ => Step::Form {
            cluster: promised.first().map(|&cluster| cluster.to_owned()),
            members: nodes.iter().map(|(&node, introduction)| (node, introduction.address.clone())).collect(),
        },
    }
}

fn of_formed(own: &Introduction, cluster: &str, clusters: usize) -> Step {
    if clusters > 1 {
        return Step::Never("cluster.join leads to nodes of different clusters: name those of one".to_owned());
    }
    match &own.cluster {
        Some(known) if known != cluster => Step::Never(format!(
            "this node's data directory belongs to cluster {known}, and cluster.join leads to {cluster}"
        )),
        _ => Step::Found(cluster.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh(node: u64) -> Introduction {
        Introduction { node: NodeId(node), address: format!("n{node}:1"), cluster: None, formed: false, expect: 3 }
    }

    fn promised(node: u64, cluster: &str) -> Introduction {
        Introduction { cluster: Some(cluster.to_owned()), ..fresh(node) }
    }

    fn member(node: u64, cluster: &str) -> Introduction {
        Introduction { formed: true, ..promised(node, cluster) }
    }

    fn members() -> BTreeMap<NodeId, String> {
        (1..=3).map(|node| (NodeId(node), format!("n{node}:1"))).collect()
    }

    #[test]
    fn the_node_with_the_least_id_forms_it_when_all_are_there() {
        let all = [fresh(1), fresh(2), fresh(3)];
        assert_eq!(next_step(&all[0], &all, &[]), Step::Form { cluster: None, members: members() });
        assert_eq!(next_step(&all[0], &all[1..], &[]), Step::Form { cluster: None, members: members() });
        assert!(matches!(next_step(&all[1], &all, &[]), Step::Wait(_)));
        let Step::Wait(why) = next_step(&all[0], &all[..2], &["c:7410".to_owned()]) else { panic!("it waits") };
        assert_eq!(why, "2 of 3 voters have been found; no answer from c:7410");
    }

    #[test]
    fn a_cluster_that_was_begun_is_finished_under_the_same_id() {
        let all = [fresh(1), promised(2, "x"), fresh(3)];
        let step = next_step(&all[0], &all, &[]);
        assert_eq!(step, Step::Form { cluster: Some("x".to_owned()), members: members() });
        let all = [promised(1, "x"), promised(2, "y"), fresh(3)];
        assert!(matches!(next_step(&all[0], &all, &[]), Step::Never(_)));
    }

    #[test]
    fn a_node_that_finds_a_cluster_never_forms_another() {
        for own in [fresh(1), promised(1, "x")] {
            let found = [own.clone(), member(2, "x"), fresh(3)];
            assert_eq!(next_step(&own, &found, &[]), Step::Found("x".to_owned()));
        }
        assert!(matches!(next_step(&promised(1, "y"), &[member(2, "x")], &[]), Step::Never(_)));
        assert!(matches!(next_step(&fresh(1), &[member(2, "x"), member(3, "y")], &[]), Step::Never(_)));
    }

    #[test]
    fn a_log_that_began_alone_is_never_part_of_a_cluster() {
        let standalone = Introduction { formed: true, ..fresh(2) };
        assert!(alone(&standalone).is_some_and(|why| why.contains("empty data directory")));
        assert_eq!((alone(&fresh(1)), alone(&member(1, "x"))), (None, None));
        for found in [vec![standalone.clone(), fresh(3)], vec![member(3, "x"), standalone]] {
            let Step::Never(why) = next_step(&fresh(1), &found, &[]) else { panic!("its log would be lost") };
            assert!(why.contains("n2:1"), "{why}");
        }
    }

    #[test]
    fn settings_that_differ_are_refused() {
        let other = Introduction { expect: 5, ..fresh(2) };
        assert!(matches!(next_step(&fresh(1), &[other], &[]), Step::Never(_)));
        let all = [fresh(1), fresh(2), fresh(3), fresh(4)];
        let Step::Never(why) = next_step(&all[0], &all, &[]) else { panic!("too many") };
        assert!(why.contains("4 nodes") && why.contains("bootstrap_expect is 3"), "{why}");
    }

    #[test]
    fn a_node_alone_forms_a_cluster_of_one() {
        let own = Introduction { expect: 1, ..fresh(1) };
        let members = BTreeMap::from([(NodeId(1), "n1:1".to_owned())]);
        assert_eq!(next_step(&own, &[], &[]), Step::Form { cluster: None, members });
    }
}
