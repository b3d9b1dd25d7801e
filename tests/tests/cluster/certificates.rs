//! Mutual TLS between nodes, with certificates of the cluster's own.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use dspex_tests::{Cluster, holds_within};

const PATIENCE: Duration = Duration::from_secs(60);

/// An authority, and certificates for `node-0` to `node-COUNT`.
pub fn make(cluster: &Cluster, directory: &Path, count: usize) {
    let nodes: Vec<String> = (0..count).map(|position| format!("node-{position}=127.0.0.1,localhost")).collect();
    let nodes = nodes.iter().flat_map(|node| ["--node", node.as_str()]);
    cluster.local(&["cert", "init", "--directory"]).arg(directory).args(nodes).run().expect(0);
}

#[test]
fn nodes_with_certificates_of_one_authority_form_a_cluster_and_others_stay_out() {
    let mut cluster = Cluster::formed_of(3);
    let files = tempfile::tempdir().expect("a directory");
    let (ours, theirs) = (files.path().join("ours"), files.path().join("theirs"));
    make(&cluster, &ours, 3);
    make(&cluster, &theirs, 4);
    for position in 0..3 {
        cluster.protect(position, &ours.join("ca.pem"), &ours.join(format!("node-{position}")));
        cluster.start(position);
    }
    cluster.leader();
    cluster.dspex(1, &["session", "create", "s"]).run().expect(0);

    let stranger = cluster.add();
    cluster.protect(stranger, &theirs.join("ca.pem"), &theirs.join("node-3"));
    cluster.start(stranger);
    let address = format!("127.0.0.1:{}", cluster.node(stranger).peers);
    cluster.dspex(0, &["member", "add", &address]).run().expect(6).says(&address);
    let plain = cluster.add();
    cluster.start(plain);
    let address = format!("127.0.0.1:{}", cluster.node(plain).peers);
    cluster.dspex(0, &["member", "add", &address]).run().expect(6);
    assert_eq!(cluster.status(0).members.len(), 3);
}

#[test]
fn certificates_are_made_shown_and_renewed_while_the_nodes_run() {
    let mut cluster = Cluster::formed_of(1);
    let files = tempfile::tempdir().expect("a directory");
    let certs = files.path().join("certs");
    make(&cluster, &certs, 1);
    for key in ["ca.key", "node-0/node.key", "node-0/signing.key"] {
        let mode = std::fs::metadata(certs.join(key)).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{key}");
    }
    cluster.protect(0, &certs.join("ca.pem"), &certs.join("node-0"));
    cluster.start(0);
    cluster.leader();

    let show = || {
        let shown = cluster.local(&["cert", "show", "-o", "json"]).arg(certs.join("node-0/node.pem")).run();
        shown.expect(0).object()["items"][0].clone()
    };
    let before = show();
    assert_eq!(
        (&before["subject"], &before["hosts"]),
        (&"node-0".into(), &serde_json::json!(["127.0.0.1", "localhost"]))
    );
    let init = || cluster.local(&["cert", "init", "--node", "node-0=127.0.0.1", "--directory"]).arg(&certs);
    init().run().expect(2).says("--renew");
    init().args(["--renew", "--days", "30"]).run().expect(0);
    let after = show();
    assert_eq!(after["signing_key"], before["signing_key"]);
    assert!(after["not_after_unix_ms"].as_i64() < before["not_after_unix_ms"].as_i64(), "30 days, not 365");

    // A node that comes with the new certificate's authority is still taken in.
    let added = cluster.add();
    make_one(&cluster, &certs, added);
    cluster.protect(added, &certs.join("ca.pem"), &certs.join(format!("node-{added}")));
    cluster.start(added);
    let address = format!("127.0.0.1:{}", cluster.node(added).peers);
    cluster.dspex(0, &["member", "add", &address]).run().expect(0);
    let known = || cluster.dspex(added, &["cluster", "health"]).run().code == Some(0);
    assert!(holds_within(PATIENCE, known));
}

fn make_one(cluster: &Cluster, certs: &Path, position: usize) {
    let node = format!("node-{position}=127.0.0.1");
    cluster.local(&["cert", "init", "--node", &node, "--directory"]).arg(certs).run().expect(0);
}

#[test]
fn what_is_no_certificate_or_no_name_is_refused() {
    let mut cluster = Cluster::formed_of(1);
    let files = tempfile::tempdir().expect("a directory");
    let text = files.path().join("text.pem");
    std::fs::write(&text, "nothing").expect("written");
    cluster.local(&["cert", "show"]).arg(&text).run().expect(2).says("no certificate");
    cluster.local(&["cert", "show", "/nonexistent.pem"]).run().expect(2).says("/nonexistent.pem");
    cluster.local(&["cert", "init", "--node", "n=a:7410"]).run().expect(2).says("without a port");
    cluster.local(&["cert", "init", "--node", "../n=a"]).run().expect(2);
    cluster.local(&["cert", "init"]).run().expect(2);
    let certs = files.path().join("certs");
    make(&cluster, &certs, 1);
    std::fs::remove_file(certs.join("ca.key")).expect("removed");
    let more = cluster.local(&["cert", "init", "--node", "n=127.0.0.1", "--directory"]).arg(&certs).run();
    more.expect(2).says("ca.key");
    // A node with a file that is none says so and ends.
    cluster.protect(0, &text, &certs.join("node-0"));
    cluster.begin(0);
    let told = || cluster.node(0).log().contains("text.pem");
    assert!(holds_within(PATIENCE, told), "{}", cluster.node(0).log());
}
