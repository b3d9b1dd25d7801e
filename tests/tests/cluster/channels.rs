//! The channels between nodes, as Prometheus sees them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use dspex_tests::{Cluster, holds_within};

const PATIENCE: Duration = Duration::from_secs(60);
const CHANNELS: [&str; 6] = ["consensus", "coordination", "inference", "telemetry", "real_time", "bulk"];
const METRICS: [&str; 4] = [
    "dspex_channel_queued",
    "dspex_channel_refused_total",
    "dspex_channel_dropped_total",
    "dspex_channel_reconnects_total",
];

fn metrics(cluster: &Cluster, asked: usize) -> String {
    let node = cluster.node(asked);
    let token = std::fs::read_to_string(node.data().join("token")).expect("a token");
    let mut stream = TcpStream::connect(("127.0.0.1", node.http)).expect("it listens");
    let request = format!(
        "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\r\n",
        token.trim()
    );
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("text");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer
}

fn value(metrics: &str, metric: &str, channel: &str) -> u64 {
    let name = format!("{metric}{{channel=\"{channel}\"}} ");
    let found = metrics.lines().find_map(|line| line.strip_prefix(name.as_str()));
    found.unwrap_or_else(|| panic!("{name}is missing:\n{metrics}")).parse().expect("a whole number")
}

#[test]
fn each_channel_is_measured_and_a_peer_that_was_killed_and_came_back_is_counted() {
    let mut cluster = Cluster::of(3);
    for asked in 0..3 {
        let measured = metrics(&cluster, asked);
        for metric in METRICS {
            for channel in CHANNELS {
                value(&measured, metric, channel);
            }
        }
    }
    // A leader has a connection to each voter, and dials it again and again while it is away.
    let leader = cluster.leader();
    let lost = (leader + 1) % 3;
    let reconnects = |cluster: &Cluster| value(&metrics(cluster, leader), METRICS[3], "consensus");
    let before = reconnects(&cluster);
    cluster.kill(lost);
    cluster.start(lost);
    assert!(holds_within(PATIENCE, || reconnects(&cluster) > before), "{}", metrics(&cluster, leader));
    // What had gathered for the peer went with its connection, or reached it.
    let queued = || value(&metrics(&cluster, leader), METRICS[0], "consensus");
    assert!(holds_within(PATIENCE, || queued() == 0), "{}", metrics(&cluster, leader));
}
