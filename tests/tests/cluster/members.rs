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
    let removed = cluster.dspex(asked, &["member", "remove", &format!("node-{lost}"), "--yes"]).run().expect(0);
    removed.says(&format!("removed member node-{lost} ("));
    assert_eq!(removed.stdout, "");
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
    let name = format!("node-{other}");
    let refused = cluster.dspex(leader, &["member", "remove", &name, "--yes"]).run();
    refused.expect(1).says("QUORUM_AT_RISK").says(&format!("without {name} (")).says("2 are needed");
    // --yes is not enough to force it: the name is wanted.
    let forced = cluster.dspex(leader, &["member", "remove", &name, "--yes", "--force"]).run();
    forced.expect(2).says(&format!("--confirm {name}")).does_not_say("pass --yes");
    cluster.dspex(leader, &["session", "create", "still-writing"]).run().expect(0);
    cluster.dspex(leader, &["member", "promote", "node-9"]).run().expect(5).says("MEMBER_NOT_FOUND");
    let absent = cluster.dspex(leader, &["member", "add", "127.0.0.1:1"]).run().expect(6);
    absent.says("127.0.0.1:1 was not added").says("advertise").does_not_say("the connection to the node broke");
    cluster.dspex(leader, &["member", "add", "node-4"]).run().expect(2).says("HOST:PORT");
}

#[test]
fn what_is_forced_wants_the_name_in_scripts_too() {
    let cluster = Cluster::of(3);
    let leader = cluster.leader();
    let name = format!("node-{}", (leader + 1) % 3);
    let remove =
        |rest: &[&str]| cluster.dspex(leader, &[&["member", "remove", name.as_str()][..], rest].concat()).run();
    remove(&["--confirm", &name]).expect(2).says("--force");
    remove(&["--force", "--confirm", "node-9"]).expect(2).says(&format!("does not match {name}"));
    let removed = remove(&["--force", "--confirm", &name, "-o", "json"]).expect(0).object();
    assert_eq!((&removed["name"], &removed["role"]), (&name.as_str().into(), &"voter".into()), "as it was");
    assert_eq!(cluster.status(leader).members.len(), 2);
}

#[test]
fn the_only_voter_of_a_cluster_stays() {
    let cluster = Cluster::of(1);
    for (verb, how) in [("remove", &["--yes"][..]), ("demote", &["--force", "--confirm", "node-0"])] {
        let refused = cluster.dspex(0, &[&["member", verb, "node-0"][..], how].concat()).run().expect(1);
        refused.says("MEMBER_CHANGE_REFUSED").says("is the only voter").says("dspex member promote");
    }
    cluster.dspex(0, &["session", "create", "still-writing"]).run().expect(0);
}
