//! Two transports on loopback, over real sockets: what is asked is answered, in both directions, and what is lost comes
//! back.

mod support;

use std::time::Duration;

use bytes::Bytes;
use dspex_transport::{CallError, Channel, Health, Transport};
use support::{ECHO, Echo, FREEZE, LATER, LIMIT, NUMBERED, Tap, plain, settings, start, until};
use tokio::time::Instant;

#[tokio::test]
async fn a_request_is_answered() {
    let server = start(2, Echo::default()).await;
    let client = plain(1).await;
    let link = client.link(2, &server.here(), Channel::Consensus);
    let reply = link.call(ECHO, Bytes::from_static(b"hello"), LIMIT).await;
    assert_eq!(reply, Ok(Bytes::from_static(b"hello")));
}

#[tokio::test]
async fn every_channel_carries_its_longest_frame_and_refuses_a_longer_one() {
    let server = start(2, Echo::default()).await;
    let client = plain(1).await;
    for channel in Channel::ALL {
        let link = client.link(2, &server.here(), channel);
        let longest = Bytes::from(vec![7; channel.policy().frame_max - 13]);
        assert_eq!(
            link.call(ECHO, longest.clone(), LIMIT).await.map(|reply| reply.len()),
            Ok(longest.len()),
            "{channel:?}"
        );
        let longer = Bytes::from(vec![7; channel.policy().frame_max]);
        assert!(matches!(link.call(ECHO, longer, LIMIT).await, Err(CallError::TooLong { .. })), "{channel:?}");
        assert_eq!(link.call(ECHO, Bytes::new(), LIMIT).await, Ok(Bytes::new()), "{channel:?} is as before");
    }
}

#[tokio::test]
async fn requests_are_begun_in_the_order_in_which_they_were_sent() {
    let server = start(2, Echo::default()).await;
    let client = plain(1).await;
    let session = client.link(2, &server.here(), Channel::Consensus).session(LIMIT).await.expect("a connection");
    let mut pending = Vec::new();
    for number in 0u32..2000 {
        let body = Bytes::copy_from_slice(&number.to_le_bytes());
        pending.push((number, session.begin(NUMBERED, body).await.expect("sent")));
    }
    for (number, pending) in pending {
        let reply = pending.within(LIMIT).await.expect("a reply");
        assert_eq!(reply[..4], number.to_le_bytes(), "what was sent");
        assert_eq!(reply[4..], number.to_le_bytes(), "the place in which it was begun");
    }
}

#[tokio::test]
async fn the_side_that_was_dialled_asks_as_well() {
    let tap = Tap::default();
    let server = start(2, tap.clone()).await;
    let client = support::transport(settings(1), Echo::default()).await;
    client.link(2, &server.here(), Channel::Inference).session(LIMIT).await.expect("a connection");
    let session = until(|| tap.session()).await;
    assert_eq!(session.peer().node, 1);
    let reply = session.begin(ECHO, Bytes::from_static(b"work")).await.expect("sent").within(LIMIT).await;
    assert_eq!(reply, Ok(Bytes::from_static(b"work")));
}

#[tokio::test]
async fn a_reply_that_does_not_come_is_not_waited_for() {
    let server = start(2, Echo::default()).await;
    let client = plain(1).await;
    let link = client.link(2, &server.here(), Channel::Coordination);
    let error = link.call(LATER, Bytes::new(), Duration::from_millis(50)).await.expect_err("no reply");
    assert!(error.outcome_unknown(), "{error}");
    assert_eq!(link.call(ECHO, Bytes::new(), LIMIT).await, Ok(Bytes::new()), "others are answered meanwhile");
}

#[tokio::test]
async fn a_link_comes_back_when_its_peer_does() {
    let server = start(2, Echo::default()).await;
    let address = server.here();
    let client = plain(1).await;
    let link = client.link(2, &address, Channel::Consensus);
    link.call(ECHO, Bytes::new(), LIMIT).await.expect("a reply");
    assert_eq!(client.traffic().of(Channel::Consensus).reconnects, 0, "the first connection is none that came back");
    let pending = link.session(LIMIT).await.expect("up").begin(LATER, Bytes::new()).await.expect("sent");
    server.end().await;
    let error = pending.within(LIMIT).await.expect_err("lost");
    assert!(error.outcome_unknown(), "{error}");
    let deadline = Instant::now() + LIMIT;
    while !link.call(ECHO, Bytes::new(), LIMIT).await.is_err_and(|error| !error.outcome_unknown()) {
        assert!(Instant::now() < deadline, "it is gone, and nothing was sent");
    }
    let _again = support::start_at(&address, 2, Echo::default()).await;
    let deadline = Instant::now() + LIMIT;
    while link.call(ECHO, Bytes::new(), LIMIT).await.is_err() {
        assert!(Instant::now() < deadline, "no connection again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(client.traffic().of(Channel::Consensus).reconnects > 0);
    assert_eq!(client.traffic().of(Channel::Bulk).reconnects, 0, "each channel is counted by itself");
}

#[tokio::test]
async fn a_silent_peer_is_suspect_first_and_then_gone() {
    let server = start(2, Echo::default()).await;
    let relay = support::Relay::start(server.here()).await;
    let client = plain(1).await;
    let mut events = client.events();
    let session = client.link(2, &relay.address(), Channel::Consensus).session(LIMIT).await.expect("a connection");
    let pending = session.begin(LATER, Bytes::new()).await.expect("sent");
    relay.swallow();
    let mut seen = Vec::new();
    while seen.last() != Some(&Health::Down) {
        let event = tokio::time::timeout(LIMIT, events.recv()).await.expect("an event").expect("events");
        assert_eq!((event.node, event.channel), (2, Channel::Consensus));
        seen.push(event.health);
    }
    assert_eq!(seen, [Health::Up, Health::Suspect, Health::Down]);
    assert!(pending.within(LIMIT).await.expect_err("lost").outcome_unknown());
}

#[tokio::test]
async fn an_idle_connection_stays_up() {
    let server = start(2, Echo::default()).await;
    let client = plain(1).await;
    let session = client.link(2, &server.here(), Channel::RealTime).session(LIMIT).await.expect("a connection");
    // Three times as long as silence may last in these tests.
    tokio::time::sleep(Duration::from_millis(1800)).await;
    assert_eq!(*session.health().borrow(), Health::Up);
    let reply = session.begin(ECHO, Bytes::new()).await.expect("sent").within(LIMIT).await;
    assert_eq!(reply, Ok(Bytes::new()));
}

#[tokio::test]
async fn a_full_channel_refuses_waits_or_drops_as_its_policy_says() {
    let server = start(2, Echo::default()).await;
    let client = plain(1).await;
    let begin_all = async |channel: Channel| {
        let session = client.link(2, &server.here(), channel).session(LIMIT).await.expect("a connection");
        let mut under_way = Vec::new();
        for _ in 0..channel.policy().in_flight {
            under_way.push(session.begin(LATER, Bytes::new()).await.expect("room"));
        }
        (session, under_way)
    };
    let (session, under_way) = begin_all(Channel::Inference).await;
    assert_eq!(session.begin(ECHO, Bytes::new()).await.map(drop), Err(CallError::Full));
    assert_eq!(client.traffic().of(Channel::Inference).refused, 1);
    drop(under_way);
    let (session, mut under_way) = begin_all(Channel::Bulk).await;
    let waits = tokio::time::timeout(Duration::from_millis(100), session.begin(ECHO, Bytes::new())).await;
    assert!(waits.is_err(), "it waits");
    under_way.pop();
    // A place is free here; whether there is one over there shows in the answer.
    let answer = session.begin(ECHO, Bytes::new()).await.expect("sent").within(LIMIT).await;
    assert_eq!(answer, Err(CallError::Full), "the peer still works on what was given up here");
    let refused = [client.traffic(), server.traffic()].map(|traffic| traffic.of(Channel::Bulk).refused);
    assert_eq!(refused, [0, 1], "it is counted where it was refused");
}

#[tokio::test]
async fn what_waits_for_a_peer_is_counted_until_it_is_sent_or_given_up() {
    let server = start(2, Echo::default()).await;
    let client = plain(1).await;
    let session = client.link(2, &server.here(), Channel::Bulk).session(LIMIT).await.expect("a connection");
    let traffic = client.traffic();
    let queued = async |count: u64| until(|| (traffic.of(Channel::Bulk).queued == count).then_some(())).await;
    let mut under_way = Vec::new();
    for _ in 0..Channel::Bulk.policy().in_flight {
        under_way.push(session.begin(LATER, Bytes::new()).await.expect("room"));
    }
    queued(0).await;
    let waiting = tokio::spawn(async move { session.begin(ECHO, Bytes::new()).await.map(drop) });
    queued(1).await;
    waiting.abort();
    queued(0).await;
    assert_eq!(traffic.of(Channel::Bulk).refused, 0, "it waited, and was not refused");
}

#[tokio::test]
async fn telemetry_is_dropped_and_counted_when_nobody_takes_it() {
    let tap = Tap::default();
    let server = start(2, tap.clone()).await;
    let client = plain(1).await;
    let session = client.link(2, &server.here(), Channel::Telemetry).session(LIMIT).await.expect("a connection");
    until(|| tap.session()).await;
    let began = Instant::now();
    for _ in 0..2000 {
        session.send(ECHO, Bytes::from(vec![1; 10_000])).await.expect("never an error");
    }
    assert!(began.elapsed() < LIMIT, "nobody waited");
    let dropped = || [client.traffic(), server.traffic()].map(|traffic| traffic.of(Channel::Telemetry).dropped);
    until(|| (dropped().iter().sum::<u64>() > 0).then_some(())).await;
    assert_eq!(client.traffic().of(Channel::Telemetry).refused, 0, "what may be lost is never refused");
}

#[tokio::test]
async fn a_peer_that_does_not_read_costs_no_more_than_the_queue() {
    let server = start(2, Echo::default()).await;
    let relay = support::Relay::start(server.here()).await;
    let client = plain(1).await;
    let link = client.link(2, &relay.address(), Channel::Coordination);
    let session = link.session(LIMIT).await.expect("a connection");
    relay.stop_reading();
    let mut kept = Vec::new();
    let refused = loop {
        match session.begin(FREEZE, Bytes::from(vec![1; 60_000])).await {
            Ok(pending) => kept.push(pending),
            Err(error) => break error,
        }
        assert!(kept.len() < 2000, "it has no end");
    };
    assert!(matches!(refused, CallError::Full | CallError::Unreachable(_)), "{refused}");
}

#[tokio::test]
async fn what_a_link_leads_to_is_checked_on_both_sides() {
    let server = start(2, Echo::default()).await;
    let refused = async |client: &Transport, node: u64| {
        let link = client.link(node, &server.here(), Channel::Consensus);
        let error = link.call(ECHO, Bytes::new(), LIMIT).await.expect_err("refused");
        assert!(!error.outcome_unknown());
        error.to_string()
    };
    let client = plain(1).await;
    assert!(refused(&client, 3).await.contains("here is node 2, not node 3"));
    let mut foreign = settings(1);
    foreign.identity.cluster = Some("another".to_owned());
    let foreign = support::transport(foreign, Echo::default()).await;
    assert!(refused(&foreign, 2).await.contains("belongs to cluster test"));
    let double = support::transport(settings(2), Echo::default()).await;
    let link = double.stranger(&server.here(), Channel::Consensus);
    let error = link.call(ECHO, Bytes::new(), LIMIT).await.expect_err("refused");
    assert!(error.to_string().contains("two nodes have its number"), "{error}");
}
