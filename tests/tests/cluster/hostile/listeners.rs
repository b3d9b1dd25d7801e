//! Where a node listens: where its file says, and at one port of loopback that ractor_cluster opens whether or not it is wanted
//! (docs/adr/0024). That one lets nobody in, not even a member.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};

use dspex_tests::sockets;
use tokio::time::Instant;

use super::wire::{Hello, PEER, Tls, end, is_welcome, plain, say};
use super::{Attacked, PROTECTED, block_on};

/// The first byte of what TLS says when it refuses.
const ALERT: u8 = 21;

/// Where a node listens without having been told to.
fn untold(attacked: &Attacked, position: usize) -> Vec<SocketAddr> {
    let node = attacked.cluster.node(position);
    let told = [node.api, node.http, node.peers].map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let (told, open) = (BTreeSet::from(told), sockets::listening(node.pid()));
    assert!(open.is_superset(&told), "node {position} listens at {open:?}, and was told to at {told:?}");
    open.difference(&told).copied().collect()
}

/// The words with which nodes of ractor_cluster begin, about: a length in eight bytes, and so many bytes.
pub fn ractor_words() -> Vec<u8> {
    [&8u64.to_be_bytes()[..], &[0x0a, 6, 0x0a, 4], b"node"].concat()
}

#[test]
fn a_node_listens_where_its_file_says_and_at_one_port_of_loopback_that_lets_nobody_in() {
    let attacked = Attacked::new();
    for position in 0..3 {
        let untold = untold(&attacked, position);
        assert!(untold.len() <= 1, "node {position} listens at {untold:?}, too");
        assert!(untold.iter().all(|address| address.ip() == Ipv4Addr::LOCALHOST), "{untold:?}");
    }
    let pid = attacked.cluster.node(PROTECTED).pid();
    let cluster = attacked.cluster.status(PROTECTED).cluster_id;
    let hello = Hello::of(&cluster).bytes();
    block_on(async {
        for address in untold(&attacked, PROTECTED) {
            nobody_gets_in(&attacked, address.port(), &hello).await;
        }
        // The control: by the same words a member is welcome at the port for peers.
        let port = attacked.cluster.node(PROTECTED).peers;
        let mut line = attacked.peer().connect(port).await.expect("its certificate is right");
        assert!(is_welcome(&mut line, &hello).await);
        attacked.write(PROTECTED, "after").await;
    });
    assert_eq!(attacked.cluster.node(PROTECTED).pid(), pid);
}

/// Neither with words in the clear nor by TLS, with whatever certificate. One after the other: they are taken in one by one.
async fn nobody_gets_in(attacked: &Attacked, port: u16, hello: &[u8]) {
    let words = [
        ("the words of ractor_cluster", ractor_words()),
        ("a hello of a peer", hello.to_vec()),
        ("garbage", vec![0xa5; 300]),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
    ];
    for (what, words) in words {
        let (mut line, began) = (plain(port).await, Instant::now());
        say(&mut line, &words).await;
        let said = end(what, &mut line, began).await;
        assert!(matches!(said.first(), None | Some(&ALERT)), "{what}: {said:?}");
    }
    for own in [None, Some(attacked.own("node-1"))] {
        let shaken = Tls::new(&attacked.ca(), own.as_deref(), PEER).connect(port).await;
        assert!(shaken.is_err(), "a handshake came to its end with {own:?}");
    }
    // Who says nothing there keeps nobody from the other ports.
    let _silent = plain(port).await;
    attacked.write(PROTECTED, "meanwhile").await;
}
