//! Writes to or reads from sessions of a running node, with many clients at once, and prints a line of JSON.
//!
//! ```sh
//! cargo run --release --example session_load -- 127.0.0.1:7400,127.0.0.1:7401 data/token write 64 10
//! ```
//! Addresses (clients take turns), the file of a token that all of them know, `write`, `read` or `stale`, clients, seconds.

#![expect(clippy::print_stdout, reason = "its output is what was measured")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dspex_api::v1::{CreateSessionRequest, Freshness, GetSessionRequest, RequestId, UpdateSessionRequest};
use dspex_api::{Address, ApiError, Client, TimeLimits, Token};

/// Bytes of a value, quotes included.
const VALUE: usize = 128;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main(flavor = "multi_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [addresses, token, what, clients, seconds] = arguments.as_slice() else {
        return Err("addresses, token file, write|read|stale, clients, seconds".into());
    };
    let token = Token::new(&std::fs::read_to_string(token)?)?;
    let addresses: Vec<Address> = addresses.split(',').map(str::parse).collect::<Result<_, _>>()?;
    let (clients, seconds): (usize, f64) = (clients.parse()?, seconds.parse()?);
    let stop = Arc::new(AtomicBool::new(false));
    let mut tasks = Vec::new();
    for number in 0..clients {
        let address = addresses[number % addresses.len()].clone();
        let client = Client::connect(address, token.clone(), TimeLimits::default()).await?;
        let session = format!("load-{number}");
        // It may be there from the last time.
        let _ = create(&client, &session).await;
        tasks.push((client, session));
    }
    let begun = Instant::now();
    let tasks: Vec<_> = tasks
        .into_iter()
        .map(|(client, session)| tokio::spawn(work(client, session, what.clone(), Arc::clone(&stop))))
        .collect();
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    stop.store(true, Ordering::Relaxed);
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await??);
    }
    let took = begun.elapsed().as_secs_f64();
    times.sort_unstable();
    let at = |share: f64| {
        let place = (times.len() as f64 * share) as usize;
        times.get(place.min(times.len().saturating_sub(1))).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
    };
    println!(
        "{{\"what\":\"{what}\",\"clients\":{clients},\"per_second\":{:.0},\"p50_ms\":{:.3},\"p99_ms\":{:.3},\"client_cpu_s\":{:.2}}}",
        times.len() as f64 / took,
        at(0.5),
        at(0.99),
        cpu_seconds()
    );
    Ok(())
}

async fn create(client: &Client, session: &str) -> Result<(), ApiError> {
    let request =
        CreateSessionRequest { request_id: request_id(0), session_id: session.to_owned(), ..Default::default() };
    client.create_session(request).await.map(|_| ())
}

async fn work(client: Client, session: String, what: String, stop: Arc<AtomicBool>) -> Result<Vec<Duration>, ApiError> {
    let value = format!("\"{}\"", "v".repeat(VALUE - 2));
    let (mut times, mut number) = (Vec::new(), 0);
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let begun = Instant::now();
        match what.as_str() {
            "write" => {
                let request = UpdateSessionRequest {
                    request_id: request_id(number),
                    session_id: session.clone(),
                    set: [("value".to_owned(), value.clone())].into(),
                    ..UpdateSessionRequest::default()
                };
                client.update_session(request).await?;
            }
            kind => {
                let freshness = if kind == "stale" { Freshness::Stale } else { Freshness::Linearizable };
                let request =
                    GetSessionRequest { session_id: session.clone(), freshness: freshness.into(), version: None };
                client.session(request).await?;
            }
        }
        times.push(begun.elapsed());
    }
    Ok(times)
}

/// A UUIDv7 of now under a client of this process.
fn request_id(number: u64) -> Option<RequestId> {
    use std::hash::{BuildHasher, Hasher};
    let chance = std::collections::hash_map::RandomState::new().build_hasher().finish();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_millis();
    let hex = format!("{now:012x}");
    Some(RequestId {
        client: format!("00000000-0000-7000-8000-{:012x}", std::process::id()),
        request: format!(
            "{}-{}-7{:03x}-8{:03x}-{:012x}",
            &hex[..8],
            &hex[8..],
            chance & 0xfff,
            number & 0xfff,
            chance >> 16
        ),
    })
}

/// User and system time of this process; Linux counts in hundredths.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(") ").map(|(_, rest)| rest.split(' ').collect::<Vec<_>>()).unwrap_or_default();
    let ticks = |place: usize| fields.get(place).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}
