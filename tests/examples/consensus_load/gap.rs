//! How long nothing is written when the leader goes.

use std::time::{Duration, Instant};

use dspex_tests::process;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::Failure;
use crate::agreement;
use crate::system::Cluster;
use crate::writer::{Record, Writer};

/// For the cluster to be whole first.
const WHOLE_LIMIT_S: f64 = 60.0;
/// Of steady writes before the event, and after they go on: a second stumble counts, too.
const CALM: Duration = Duration::from_secs(1);
/// For writes to go on.
const LIMIT: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// kill -9 of the leader; the writes go to the others, before and after.
pub async fn of_kill(cluster: &Cluster) -> Result<Value, Failure> {
    let leader = agreement::reached(cluster, WHOLE_LIMIT_S).await?.leader;
    let mut survivors = Vec::new();
    for node in (0..cluster.nodes.len()).filter(|node| *node != leader) {
        survivors.push(cluster.connect(node).await?);
    }
    let writer = Writer::start(survivors).await?;
    sleep(CALM).await;
    let killed = Instant::now();
    process::kill(cluster.nodes[leader].pid);
    until_calm(&writer, killed).await?;
    Ok(told(&writer.record(), killed, &json!({ "leader": leader })))
}

/// The leader hands over to the next node; the writes go to all.
pub async fn of_transfer(cluster: &Cluster) -> Result<Value, Failure> {
    let whole = agreement::reached(cluster, WHOLE_LIMIT_S).await?;
    let connections = cluster.connections(1).await?;
    let leader = connections[whole.leader].clone();
    let next = whole.ids[(whole.leader + 1) % whole.ids.len()];
    let writer = Writer::start(connections).await?;
    sleep(CALM).await;
    let asked = Instant::now();
    leader.transfer(next, LIMIT).await.map_err(|status| format!("the leader did not hand over: {status}"))?;
    let answered = asked.elapsed();
    until_calm(&writer, asked + answered).await?;
    Ok(told(&writer.record(), asked, &json!({ "transfer_ms": milliseconds(answered) })))
}

/// Waits until writes that began after the event are acknowledged, and a while longer.
async fn until_calm(writer: &Writer, event: Instant) -> Result<(), Failure> {
    while !writer.goes_on_since(event) {
        if event.elapsed() > LIMIT {
            let why = writer.record().last_failure.unwrap_or_default();
            return Err(format!("nothing was written for {} s: {why}", LIMIT.as_secs()).into());
        }
        sleep(LOOK_EVERY).await;
    }
    sleep(CALM).await;
    Ok(())
}

fn told(record: &Record, event: Instant, more: &Value) -> Value {
    let mut times: Vec<Instant> = record.written.iter().map(|write| write.acknowledged).collect();
    times.sort_unstable();
    json!({
        "gap_ms": milliseconds(longest_gap(&times, |end| end >= event)),
        // Without the first: connections are new then.
        "gap_before_ms": milliseconds(longest_gap(&times[times.len().min(20)..], |end| end < event)),
        "written": record.written.len(),
        "failures": record.failures,
        "failure": record.last_failure,
        "more": more,
    })
}

/// The longest time between two of these times that follow each other, of those whose end is taken.
fn longest_gap(times: &[Instant], taken: impl Fn(Instant) -> bool) -> Duration {
    let pairs = times.windows(2).filter(|pair| taken(pair[1]));
    pairs.map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}

/// To microseconds: what is beyond is noise.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
