//! Tokens and their roles, on every node.

use dspex_tests::{Cluster, Home};

#[test]
fn a_token_opens_what_its_role_may_do_on_every_node_until_it_is_revoked() {
    let cluster = Cluster::of(3);
    let files = tempfile::tempdir().expect("a directory");
    let stranger = Home::new();
    let make = |role: &str| {
        let secret =
            cluster.dspex(0, &["token", "create", &format!("a-{role}"), "--role", role]).run().expect(0).stdout;
        let file = files.path().join(role);
        std::fs::write(&file, secret).expect("written");
        file
    };
    let (reader, runner, admin) = (make("reader"), make("runner"), make("admin"));
    let with = |token: &std::path::Path, position: usize, arguments: &[&str]| {
        let address = format!("127.0.0.1:{}", cluster.node(position).api);
        stranger.dspex(arguments).args(["--address", &address, "--token-file"]).arg(token).run()
    };
    // A follower knows a new token a moment later.
    for position in 0..3 {
        cluster.dspex(position, &["session", "list"]).run().expect(0);
        with(&reader, position, &["session", "list"]).expect(0);
    }
    with(&reader, 1, &["session", "create", "s"]).expect(4).says("PERMISSION_DENIED").says("role is reader");
    with(&runner, 1, &["session", "create", "s"]).expect(0);
    with(&runner, 1, &["token", "list"]).expect(4);
    with(&admin, 2, &["token", "list"]).expect(0);
    let trail = cluster.dspex(0, &["audit", "list", "-o", "json"]).run().expect(0).object();
    assert_eq!(trail["items"][0]["action"], "token create");
    assert_eq!(trail["items"][0]["subject"], "a-admin (admin)");

    with(&admin, 0, &["token", "revoke", "a-runner", "--yes"]).expect(0);
    for position in 0..3 {
        cluster.dspex(position, &["session", "list"]).run().expect(0);
        with(&runner, position, &["session", "list"]).expect(4).says("UNAUTHENTICATED");
    }
    let secret = std::fs::read_to_string(&runner).expect("readable");
    for position in 0..3 {
        assert!(!cluster.node(position).log().contains(secret.trim()), "a secret is in the log of node {position}");
    }
    cluster.dspex(0, &["token", "revoke", "a-runner", "--yes"]).run().expect(5).says("TOKEN_NOT_FOUND");
    cluster.dspex(0, &["token", "create", "x", "--role", "king"]).run().expect(2);
}
