//! Certificates that are not right: of another authority, for another name, expired, missing. They open nothing here, and a node says
//! nothing to a peer that shows one. What callers make of a node's certificate: `callers.rs`.

use std::fs;
use std::path::Path;

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd};
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};

use super::wire::{Hello, Line, PEER, Tls, acceptor, end, is_welcome, say, short};
use super::{Attacked, LIMIT, PROTECTED, block_on};
use crate::certificates::make;

#[test]
fn certificates_that_are_not_right_open_nothing_in_either_direction() {
    let attacked = Attacked::new();
    make(&attacked.cluster, &attacked.own("theirs"), 1);
    let ours = attacked.files.path();
    forge(ours, &attacked.own("forged"), "127.0.0.1", 2049);
    forge(ours, &attacked.own("expired"), "127.0.0.1", 2025);
    forge(ours, &attacked.own("elsewhere"), "node-9.example", 2049);
    let cluster = attacked.cluster.status(PROTECTED).cluster_id;
    block_on(async {
        strangers_come(&attacked, &cluster).await;
        nodes_go(&attacked).await;
        attacked.write(PROTECTED, "after").await;
    });
}

/// Taken away by `with_client_cert_verifier` of `tls::load` (node/transport): without it, everybody is welcome.
async fn strangers_come(attacked: &Attacked, cluster: &str) {
    let port = attacked.cluster.node(PROTECTED).peers;
    let hello = Hello::of(cluster).bytes();
    for (own, is_right) in [
        (None, false),
        (Some("theirs/node-0"), false),
        (Some("expired"), false),
        // The controls: a member's, and one that differs from the expired one in its end only.
        (Some("node-1"), true),
        (Some("forged"), true),
    ] {
        let own = own.map(|own| attacked.own(own));
        let (what, began) = (format!("{own:?}"), Instant::now());
        // Our end of the handshake may be through before the other end has looked at the certificate.
        let Ok(mut line) = Tls::new(&attacked.ca(), own.as_deref(), PEER).connect(port).await else {
            assert!(!is_right, "{what}: no handshake");
            continue;
        };
        assert_eq!(is_welcome(&mut line, &hello).await, is_right, "{what}");
        if !is_right {
            end(&what, &mut line, began).await;
        }
    }
}

/// Taken away by `with_root_certificates` of `tls::load` (node/transport), or by the name in `Protection::connect`.
async fn nodes_go(attacked: &Attacked) {
    for (own, is_right) in [("theirs/node-0", false), ("elsewhere", false), ("expired", false), ("forged", true)] {
        assert_eq!(is_greeted(attacked, &attacked.own(own)).await, is_right, "{own}");
    }
}

/// Whether a node says its hello to a peer that shows this certificate.
async fn is_greeted(attacked: &Attacked, own: &Path) -> bool {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    // It ends with this function: what it would say of the peer is another test's business.
    let _adding = attacked.cluster.dspex(PROTECTED, &["member", "add", &address]).start();
    let (stream, _) = timeout(LIMIT, listener.accept()).await.expect("the node dials").expect("accepted");
    match timeout(LIMIT, acceptor(own).accept(stream)).await.expect("a handshake ends within the limit") {
        Ok(line) => {
            let mut line: Line = Box::new(line);
            let hello = short(&mut line).await;
            say(&mut line, b"\0\0").await;
            hello.is_some_and(|hello| hello.starts_with(b"DSPXPEER"))
        }
        Err(_) => false,
    }
}

/// A certificate of an authority, as somebody makes one who has its key.
fn forge(authority: &Path, own: &Path, host: &str, until_year: i32) {
    let read = |file: &str| fs::read_to_string(authority.join(file)).expect("readable");
    let signing = KeyPair::from_pem(&read("ca.key")).expect("a key");
    let issuer = Issuer::from_ca_cert_pem(&read("ca.pem"), signing).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(vec![host.to_owned()]).expect("a name");
    (params.not_before, params.not_after) = (date_time_ymd(2024, 1, 1), date_time_ymd(until_year, 1, 1));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(&key, &issuer).expect("signed").pem();
    fs::create_dir(own).expect("a directory");
    fs::write(own.join("node.pem"), certificate).expect("written");
    fs::write(own.join("node.key"), key.serialize_pem()).expect("written");
}
