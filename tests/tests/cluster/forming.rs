//! A cluster comes about once, whatever the order of the starts, and its nodes find it again.

use std::time::Duration;

use dspex_tests::{Cluster, holds_within};

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn three_nodes_form_a_cluster_once_and_find_it_again() {
    let mut cluster = Cluster::of(3);
    let status = cluster.dspex(0, &["cluster", "status", "-o", "json"]).run().expect(0).object();
    let id = status["cluster_id"].as_str().expect("an id").to_owned();
    assert_eq!(id.len(), 36, "{id}");
    let members = status["members"].as_array().expect("members").clone();
    assert_eq!(members.len(), 3);
    for member in &members {
        assert_eq!((&member["role"], &member["reachable"]), (&"voter".into(), &true.into()), "{member}");
        for field in ["term", "last_index", "committed_index", "applied_index", "lag"] {
            assert!(member[field].is_u64(), "{field} of {member}");
        }
        assert!(member["version"].as_str().is_some_and(|version| !version.is_empty()));
    }
    assert_eq!(members.iter().filter(|member| member["leader"] == true).count(), 1);
    cluster.dspex(1, &["cluster", "health"]).run().expect(0);

    for position in 0..3 {
        cluster.kill(position);
    }
    for position in [2, 0, 1] {
        cluster.begin(position);
    }
    cluster.leader();
    let again = cluster.dspex(2, &["cluster", "status", "-o", "json"]).run().expect(0).object();
    assert_eq!(again["cluster_id"], id.as_str());
}

#[test]
fn nodes_wait_for_the_others_and_say_for_whom() {
    let mut cluster = Cluster::formed_of(3);
    cluster.start(0);
    let told = || cluster.node(0).log().contains("1 of 3 voters have been found; no answer from");
    assert!(holds_within(PATIENCE, told), "{}", cluster.node(0).log());
    let log = cluster.node(0).log();
    let waits: Vec<&str> = log.lines().filter(|line| line.contains("no answer from")).collect();
    let own = format!("127.0.0.1:{}", cluster.node(0).peers);
    assert!(waits.iter().all(|line| !line.contains(&own)), "its own address is none of the missing: {waits:?}");
    // It answers meanwhile, and does not pretend.
    cluster.dspex(0, &["cluster", "health"]).run().expect(6).says("there is no leader");
    cluster.dspex(0, &["session", "create", "s", "--command-timeout", "2"]).run().expect(6);
    cluster.start(1);
    cluster.start(2);
    cluster.leader();
    cluster.dspex(0, &["session", "create", "s"]).run().expect(0);
}

#[test]
fn a_log_that_began_without_peers_is_never_taken_into_a_cluster() {
    let mut cluster = Cluster::formed_of(1);
    let with_peers = std::fs::read_to_string(cluster.node(0).config()).expect("readable");
    let is_of_peers =
        |line: &&str| !line.contains("join") && !line.contains("bootstrap") && !line.contains("[cluster]");
    let (before, after) = with_peers.split_once("[peers]\n").expect("a section");
    let after = after.split_once('\n').expect("its only line").1;
    let alone: String =
        before.lines().filter(is_of_peers).chain(after.lines()).map(|line| format!("{line}\n")).collect();
    std::fs::write(cluster.node(0).config(), alone).expect("written");
    cluster.start(0);
    cluster.dspex(0, &["session", "create", "mine"]).run().expect(0);
    cluster.terminate(0);

    std::fs::write(cluster.node(0).config(), with_peers).expect("written");
    cluster.begin(0);
    let told = || cluster.node(0).log().contains("a log of its own");
    assert!(holds_within(PATIENCE, told), "{}", cluster.node(0).log());
    let other = Cluster::of(1);
    let address = format!("127.0.0.1:{}", cluster.node(0).peers);
    other.dspex(0, &["member", "add", &address]).run().expect(6);
}

#[test]
fn a_peer_port_that_is_taken_is_named() {
    let cluster = Cluster::formed_of(1);
    let _taken = std::net::TcpListener::bind(("127.0.0.1", cluster.node(0).peers)).expect("a free port");
    let refused = cluster.local(&["node", "--config"]).arg(cluster.node(0).config()).run().expect(6);
    refused.says("peers.listen").says(&format!("127.0.0.1:{}", cluster.node(0).peers));
}

#[test]
fn a_node_alone_is_a_cluster_that_others_can_join() {
    let mut cluster = Cluster::of(1);
    cluster.dspex(0, &["session", "create", "before"]).run().expect(0);
    let added = cluster.add();
    cluster.start(added);
    let address = format!("127.0.0.1:{}", cluster.node(added).peers);
    let told = || cluster.node(added).log().contains(&format!("dspex member add {address}"));
    assert!(holds_within(PATIENCE, told), "{}", cluster.node(added).log());
    let shown = cluster.dspex(0, &["member", "add", &address, "-o", "json"]).run().expect(0).object();
    assert_eq!(shown["role"], "learner");
    let id = shown["id"].to_string();
    cluster.dspex(0, &["member", "promote", &id]).run().expect(0);
    cluster.leader();
    cluster.dspex(added, &["session", "show", "before"]).run().expect(0);
}
