use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use dspex_chaos::fault::network::{self, Network, OUTSIDE};

use crate::child::{InRole, reaches};
use crate::skip::is_available;

const PORT: u16 = 7400;

/// A network, and a server on each of its hosts.
fn hosts(count: u32) -> (Network, Vec<InRole>) {
    let network = Network::new(count).expect("a network");
    let servers = (1..=count).map(|host| {
        let server = on(&network, host, &format!("serve 0.0.0.0:{PORT}"));
        assert_eq!(server.hears(), "serves");
        server
    });
    let servers = servers.collect();
    (network, servers)
}

fn on(network: &Network, host: u32, role: &str) -> InRole {
    InRole::start(role, |program: &Path| network.command(host, program))
}

fn address(network: &Network, host: u32) -> SocketAddr {
    SocketAddr::from((network.address(host), PORT))
}

/// Whether one reaches the other over TCP, which takes both ways.
fn is_open(network: &Network, from: u32, to: u32) -> bool {
    let address = address(network, to);
    if from == OUTSIDE {
        return reaches(address);
    }
    match on(network, from, &format!("reach {address}")).hears().as_str() {
        "reached" => true,
        "not reached" => false,
        other => panic!("{other}"),
    }
}

/// Whether one comes to reach the other: a link that was cut takes a moment, on a busy machine a long one, to carry again.
fn opens(network: &Network, from: u32, to: u32) -> bool {
    let limit = Instant::now() + Duration::from_secs(30);
    while !is_open(network, from, to) {
        if Instant::now() > limit {
            return false;
        }
    }
    true
}

#[test]
fn a_cut_host_reaches_nobody_and_heals() {
    if !is_available("cut host", network::probe()) {
        return;
    }
    let (mut network, _servers) = hosts(3);
    assert!(opens(&network, 1, 2) && opens(&network, 3, 2) && opens(&network, OUTSIDE, 2));
    network.cut_host(2).expect("cut");
    assert!(!is_open(&network, 1, 2) && !is_open(&network, 2, 3) && !is_open(&network, OUTSIDE, 2));
    assert!(opens(&network, 1, 3) && opens(&network, OUTSIDE, 3), "the others are whole");
    assert!(opens(&network, 2, 2), "it runs on, alone");
    network.heal_host(2).expect("healed");
    assert!(opens(&network, 1, 2) && opens(&network, 2, 3) && opens(&network, OUTSIDE, 2));
}

#[test]
fn a_cut_pair_reaches_all_but_each_other() {
    if !is_available("cut pair", network::probe()) {
        return;
    }
    let (mut network, _servers) = hosts(3);
    network.cut_pair(1, 2).expect("cut");
    assert!(!is_open(&network, 1, 2) && !is_open(&network, 2, 1));
    assert!(opens(&network, 1, 3) && opens(&network, 3, 2) && opens(&network, OUTSIDE, 1));
    network.heal_pair(1, 2).expect("healed");
    assert!(opens(&network, 1, 2) && opens(&network, 2, 1));
}

#[test]
fn a_cut_way_is_open_in_the_other_direction() {
    if !is_available("cut way", network::probe()) {
        return;
    }
    let (mut network, servers) = hosts(2);
    // Datagrams, because connections need both ways.
    let arrives = |network: &Network, from: u32, to: u32| {
        assert_eq!(on(network, from, &format!("send {}", address(network, to))).hears(), "sent");
        let heard = servers[to as usize - 1].hears_within(Duration::from_millis(500));
        if let Some(heard) = &heard {
            assert_eq!(*heard, format!("datagram from {}", network.address(from)));
        }
        heard.is_some()
    };
    assert!(arrives(&network, 1, 2) && arrives(&network, 2, 1));
    network.cut_way(1, 2).expect("cut");
    assert!(!arrives(&network, 1, 2));
    assert!(arrives(&network, 2, 1));
    network.heal().expect("healed");
    assert!(arrives(&network, 1, 2) && arrives(&network, 2, 1));
}

#[test]
fn a_partition_separates_groups_and_heals_with_all_else() {
    if !is_available("partition", network::probe()) {
        return;
    }
    let (mut network, _servers) = hosts(4);
    network.partition(&[&[1, 2], &[3]]).expect("cut");
    assert!(opens(&network, 1, 2) && !is_open(&network, 1, 3) && !is_open(&network, 3, 2));
    assert!(opens(&network, 4, 3) && opens(&network, 4, 1), "in no group");
    network.cut_host(4).expect("cut");
    network.heal().expect("healed");
    assert!(opens(&network, 1, 3) && opens(&network, 3, 2) && opens(&network, 4, 1));
}

#[test]
fn two_networks_do_not_meet_and_leave_nothing_behind() {
    if !is_available("networks", network::probe()) {
        return;
    }
    let (one, servers) = hosts(1);
    let (other, other_servers) = hosts(1);
    assert_ne!(one.address(1), other.address(1));
    assert!(opens(&one, 1, 1) && opens(&other, 1, 1));
    let foreign = address(&other, 1);
    assert_eq!(on(&one, 1, &format!("reach {foreign}")).hears(), "not reached");
    let left = |name: &str| {
        let listed = |directory: &str| -> Vec<String> {
            let entries = std::fs::read_dir(directory).expect("readable").flatten();
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
        };
        let names = [listed("/run/netns"), listed("/sys/class/net")].concat();
        names.into_iter().filter(|known| known.starts_with(name)).count()
    };
    let names = [one.name().to_owned(), other.name().to_owned()].map(|name| format!("{name}-"));
    // The switch, the host, and the link outside.
    assert_eq!(names.each_ref().map(|name| left(name)), [3, 3]);
    drop((servers, other_servers));
    drop(one);
    assert_eq!(names.each_ref().map(|name| left(name)), [0, 3]);
    drop(other);
    assert_eq!(names.each_ref().map(|name| left(name)), [0, 0]);
}

#[test]
fn a_network_without_hosts_is_refused() {
    for hosts in [0, network::HOSTS_MAX + 1] {
        let error = Network::new(hosts).expect_err("not so many");
        assert_eq!(error.to_string(), format!("a network has 1 to 100 hosts, not {hosts}"));
    }
}
