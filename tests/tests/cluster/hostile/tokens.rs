//! Tokens that open nothing: missing, malformed, wrong, revoked, expired. On every node, in gRPC and over HTTP.

use std::path::{Path, PathBuf};
use std::time::Duration;

use dspex_api::reason;
use dspex_tests::wait_until;

use super::pages::{Browser, GRPC};
use super::wire::{Line, page, plain};
use super::{Attacked, OPEN, block_on};

/// The life of the token that expires.
const TTL_SECONDS: &str = "6";
/// For a follower to hear of a token, and for a short life to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// What a reader may.
const PATH: &str = "/dspex.v1.Sessions/List";
/// The status of gRPC for who is not known.
const UNAUTHENTICATED: &str = "16";

// Taken away by `judge` (node/src/server/access.rs): by its `ok_or(Refusal::Missing)`, its two `ok_or(Refusal::Wrong)`; and by
// `is_valid` in `Tokens for Consensus`, without which a token that has been revoked, or has ended, opens all.
#[test]
fn a_token_that_is_missing_malformed_wrong_revoked_or_expired_opens_nothing_on_any_node() {
    let attacked = Attacked::new();
    let make = |name: &str, more: &[&str]| {
        let command = attacked.cluster.dspex(0, &["token", "create", name, "--role", "reader"]).args(more);
        file(&attacked, name, command.run().expect(0).stdout.trim())
    };
    let (good, revoked, expired) = (make("good", &[]), make("revoked", &[]), make("expired", &["--ttl", TTL_SECONDS]));
    // The control: with each of them a node lists its sessions. The one that lives shortest goes first.
    for token in [&expired, &revoked, &good] {
        wait_until("the token opens every node", PATIENCE, || {
            (0..3).all(|node| lists(&attacked, node, token)).then_some(())
        });
    }
    attacked.cluster.dspex(0, &["token", "revoke", "revoked", "--yes"]).run().expect(0);
    wait_until("the short life has ended", PATIENCE, || {
        (!(0..3).any(|node| lists(&attacked, node, &expired))).then_some(())
    });
    // A node knows what it was asked for a moment ago.
    (0..3).for_each(|node| drop(attacked.cluster.dspex(node, &["session", "list"]).run().expect(0)));
    let wrong = file(&attacked, "wrong", &"0".repeat(64));
    let another_nodes = |node: usize| file(&attacked, "another", &attacked.token((node + 1) % 3));
    for node in 0..3 {
        for token in [&wrong, &revoked, &expired, &another_nodes(node)] {
            let refused = command(&attacked, node).arg("--token-file").arg(token).run().expect(4);
            refused.says(reason::UNAUTHENTICATED).says("the token is not known here, or it has ended");
        }
        let missing = command(&attacked, node).run().expect(4);
        missing.says(reason::UNAUTHENTICATED).says("this node asks for a token");
        assert!(lists(&attacked, node, &good), "node {node}");
        let shown: Vec<String> = [&wrong, &revoked, &expired].map(|token| bearer(token)).into();
        block_on(headers_open_nothing(&attacked, node, &shown, &bearer(&good)));
    }
}

/// What clients of ours would not send.
async fn headers_open_nothing(attacked: &Attacked, node: usize, bad: &[String], good: &str) {
    let secret = good.trim_start_matches("Bearer ");
    let malformed = [
        secret.to_owned(),
        format!("Basic {secret}"),
        format!("Bearer  {secret}"),
        format!("Bearer {secret}0"),
        "Bearer ".to_owned(),
        String::new(),
    ];
    let mut browser = Browser::new(attacked, node, None).await;
    for shown in malformed.iter().chain(bad) {
        let answer = browser.asks("POST", PATH, &[GRPC, ("authorization", shown.as_str())]).await;
        assert_eq!(answer.grpc.as_deref(), Some(UNAUTHENTICATED), "node {node}: {shown:?}");
        let (code, _) = metrics(attacked, node, Some(shown.as_str())).await;
        assert_eq!(code, 401, "node {node}: {shown:?}");
    }
    assert_eq!(browser.asks("POST", PATH, &[GRPC]).await.grpc.as_deref(), Some(UNAUTHENTICATED));
    assert_eq!(metrics(attacked, node, None).await.0, 401);
    // The controls.
    let let_in = browser.asks("POST", PATH, &[GRPC, ("authorization", good)]).await;
    assert_ne!(let_in.grpc.as_deref(), Some(UNAUTHENTICATED));
    assert_eq!(metrics(attacked, node, Some(good)).await.0, 200);
    assert_eq!(page(pages(attacked, node).await, "GET /healthz/live", &[("Host", "localhost")]).await.0, 200);
}

async fn metrics(attacked: &Attacked, node: usize, shown: Option<&str>) -> (u16, String) {
    let mut headers = vec![("Host", "localhost")];
    headers.extend(shown.map(|shown| ("Authorization", shown)));
    page(pages(attacked, node).await, "GET /metrics", &headers).await
}

async fn pages(attacked: &Attacked, node: usize) -> Line {
    let port = attacked.cluster.node(node).http;
    if node == OPEN {
        return plain(port).await;
    }
    attacked.caller("http/1.1").connect(port).await.expect("the authority is right")
}

fn lists(attacked: &Attacked, node: usize, token: &Path) -> bool {
    command(attacked, node).arg("--token-file").arg(token).run().code == Some(0)
}

/// A command that finds no token by itself: another home than that of the nodes.
fn command(attacked: &Attacked, node: usize) -> dspex_tests::Dspex {
    let dspex = attacked.cluster.dspex(node, &["session", "list", "--read", "stale"]);
    dspex.without("DSPEX_TOKEN_FILE").env("DSPEX_HOME", attacked.own("nobody"))
}

fn file(attacked: &Attacked, name: &str, secret: &str) -> PathBuf {
    let file = attacked.own(&format!("{name}.token"));
    std::fs::write(&file, secret).expect("written");
    file
}

fn bearer(token: &Path) -> String {
    format!("Bearer {}", std::fs::read_to_string(token).expect("readable"))
}
