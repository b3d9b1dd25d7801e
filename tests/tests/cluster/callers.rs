//! TLS between callers and nodes: who is served, who is turned away and told why, and how a certificate is renewed.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dspex_tests::{Cluster, holds_within};
use tempfile::TempDir;

use crate::certificates::make;

const PATIENCE: Duration = Duration::from_secs(30);

/// An authority with certificates for so many nodes.
struct Authority {
    directory: TempDir,
}

impl Authority {
    fn new(cluster: &Cluster, nodes: usize) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        make(cluster, directory.path(), nodes);
        Self { directory }
    }

    fn ca(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    fn node(&self, position: usize) -> PathBuf {
        self.directory.path().join(format!("node-{position}"))
    }
}

fn address(scheme: &str, host: &str, port: u16) -> String {
    format!("{scheme}{host}:{port}")
}

#[test]
fn nodes_beyond_loopback_answer_those_who_know_their_authority_and_say_to_others_what_is_wrong() {
    let mut cluster = Cluster::formed_of(3);
    let (ours, theirs) = (Authority::new(&cluster, 3), Authority::new(&cluster, 1));
    for position in 0..3 {
        // One certificate is for peers and for callers.
        cluster.protect(position, &ours.ca(), &ours.node(position));
        cluster.certify(position, &ours.ca(), &ours.node(position));
        cluster.expose(position);
        cluster.start(position);
    }
    cluster.leader();
    cluster.dspex(1, &["session", "create", "s"]).run().expect(0);
    cluster.dspex(2, &["session", "show", "s"]).run().expect(0);
    let port = cluster.node(0).api;
    let list = || cluster.dspex(0, &["session", "list"]);
    // The node leaves its token where commands of the same user look for it.
    list().without("DSPEX_TOKEN_FILE").run().expect(0);
    list().args(["--address", &address("https://", "localhost", port)]).run().expect(0);

    let without = list().without("DSPEX_CA").run().expect(4);
    without.says("TLS_REFUSED").says("speaks TLS").says("--ca");
    list().args(["--address", &address("http://", "127.0.0.1", port)]).run().expect(4).says("speaks TLS");
    list().env("DSPEX_CA", theirs.ca()).run().expect(4).says("TLS_REFUSED").says("was not signed by the authority");
    list().args(["--address", &address("", "127.0.0.2", port)]).run().expect(4).says("is not for 127.0.0.2");
    let pages = address("", "127.0.0.1", cluster.node(0).http);
    list().args(["--address", &pages]).run().expect(4).says("no gRPC");
    list().env("DSPEX_CA", "/nonexistent/ca.pem").run().expect(2).says("/nonexistent/ca.pem");
    list().env("DSPEX_CA", ours.node(0).join("node.key")).run().expect(2).says("no certificate");
    // Nothing is sent to another machine without TLS: this one does not even have to exist.
    list().without("DSPEX_CA").args(["--address", "node.invalid:7400"]).run().expect(2).says("--ca");
}

#[test]
fn a_node_without_tls_is_told_from_one_that_is_not_there() {
    let cluster = Cluster::of(1);
    let authority = Authority::new(&cluster, 1);
    let list = || cluster.dspex(0, &["session", "list"]).env("DSPEX_CA", authority.ca());
    list().run().expect(4).says("TLS_REFUSED").says("does not speak TLS");
    list().args(["--address", &address("http://", "127.0.0.1", cluster.node(0).api)]).run().expect(0);
    let nobody = address("", "127.0.0.1", dspex_tests::free_port());
    list().args(["--address", &nobody]).run().expect(6).says("no node answers");
}

#[test]
fn a_renewed_certificate_is_shown_to_callers_without_a_restart() {
    let mut cluster = Cluster::formed_of(1);
    let (old, new) = (Authority::new(&cluster, 1), Authority::new(&cluster, 1));
    cluster.certify(0, &old.ca(), &old.node(0));
    cluster.start(0);
    cluster.leader();
    let list = |ca: &Path| cluster.dspex(0, &["session", "list"]).env("DSPEX_CA", ca).run();
    list(&new.ca()).expect(4);
    fs::write(old.node(0).join("node.pem"), "half wri").expect("written");
    // The earlier one stays.
    list(&old.ca()).expect(0);
    for file in ["node.key", "node.pem"] {
        fs::rename(new.node(0).join(file), old.node(0).join(file)).expect("renamed");
    }
    list(&new.ca()).expect(0);
    list(&old.ca()).expect(4).says("was not signed by the authority");
    let told = || {
        let log = cluster.node(0).log();
        log.contains("cannot be used; the earlier ones stay") && log.contains("were read again")
    };
    assert!(holds_within(PATIENCE, told), "{}", cluster.node(0).log());
}

#[test]
fn callers_who_say_nothing_keep_nobody_out() {
    let mut cluster = Cluster::formed_of(1);
    let authority = Authority::new(&cluster, 1);
    cluster.certify(0, &authority.ca(), &authority.node(0));
    cluster.start(0);
    cluster.leader();
    // More than may be in their handshake at once.
    let silent: Vec<TcpStream> =
        (0..300).map(|_| TcpStream::connect(("127.0.0.1", cluster.node(0).api)).expect("connected")).collect();
    cluster.dspex(0, &["session", "create", "s"]).run().expect(0);
    drop(silent);
    cluster.dspex(0, &["session", "show", "s"]).run().expect(0);
}

#[test]
fn a_node_says_at_its_start_what_is_wrong_with_its_certificate() {
    let mut cluster = Cluster::formed_of(1);
    let authority = Authority::new(&cluster, 2);
    let own = authority.node(0);
    cluster.certify(0, &authority.ca(), &own);
    fs::copy(authority.node(1).join("node.key"), own.join("node.key")).expect("copied");
    fs::set_permissions(own.join("node.key"), fs::Permissions::from_mode(0o644)).expect("a mode");
    let start = || cluster.local(&["node", "--config"]).arg(cluster.node(0).config()).run();
    let mixed = start().expect(2);
    mixed.says("it is not the key of the certificate").says("chmod 600");
    fs::remove_file(own.join("node.pem")).expect("removed");
    start().expect(2).says("node-0/node.pem");
}
