//! Members come and go through any node, and never so that the rest could not decide.

use dspex_tests::Cluster;

#[test]
fn a_lost_node_is_replaced_while_the_cluster_goes_on() {
    let mut cluster = Cluster::of(3);
    for number in 0..30 {
        cluster.dspex(number % 3, &["session", "create", &format!("s{number}")]).run().expect(0);
    }
    let lost = (cluster.leader() + 1) % 3;
    cluster.kill(lost);
    let asked = (lost + 1) % 3;
    let added = cluster.add();
    cluster.start(added);
    let address = format!("127.0.0.1:{}", cluster.node(added).peers);
    let shown = cluster.dspex(asked, &["member", "add", &address, "-o", "json"]).run().expect(0).object();
    let id = shown["id"].to_string();
    let promoted = cluster.dspex(asked, &["member", "promote", &id, "-o", "json"]).run().expect(0).object();
    assert_eq!(promoted["role"], "voter");
    cluster.dspex(asked, &["member", "remove", &format!("node-{lost}")]).run().expect(2).says("--yes");
    cluster.dspex(asked, &["member", "remove", &format!("node-{lost}"), "--yes"]).run().expect(0);
    let members = cluster.dspex(asked, &["member", "-o", "json"]).run().expect(0).object();
    assert_eq!(members["counts"]["voter"], 3);
    for number in 0..30 {
        let name = format!("s{number}");
        cluster.dspex(added, &["session", "show", &name, "--read", "stale"]).run().expect(0);
    }
    let trail = cluster.dspex(asked, &["audit", "-o", "json"]).run().expect(0).object();
    let actions: Vec<&str> =
        trail["items"].as_array().expect("items").iter().filter_map(|item| item["action"].as_str()).collect();
    assert_eq!(actions, ["member remove", "member promote", "member add"]);
}

#[test]
fn a_change_that_would_lose_the_quorum_is_refused() {
    let mut cluster = Cluster::of(3);
    let leader = cluster.leader();
    let (gone, other) = ((leader + 1) % 3, (leader + 2) % 3);
    cluster.kill(gone);
    let refused = cluster.dspex(leader, &["member", "remove", &format!("node-{other}"), "--yes"]).run();
    refused.expect(1).says("QUORUM_AT_RISK").says("2 are needed");
    // Even --yes does not force it without a terminal.
    let forced = cluster.dspex(leader, &["member", "remove", &format!("node-{other}"), "--yes", "--force"]).run();
    forced.expect(2);
    cluster.dspex(leader, &["session", "create", "still-writing"]).run().expect(0);
    cluster.dspex(leader, &["member", "promote", "node-9"]).run().expect(5).says("MEMBER_NOT_FOUND");
    cluster.dspex(leader, &["member", "add", "127.0.0.1:1"]).run().expect(6).says("127.0.0.1:1");
}
