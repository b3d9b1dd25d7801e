//! Round trips through a pool, called from Rust inside a node: the figures that `benches/` puts beside the peers'.
//!
//! `pool_round_trips PYTHON [WORKERS] [SECONDS]` prints a JSON line for each case. The whole node is there: log, storage, tree,
//! zygote; only the gRPC server is not.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dspex_actors::{
    BundleSettings, Bundles, CallRequest, Caller, ExecuteRequest, Executed, NodeParts, Pool, PoolClass, PoolsSettings,
    Remote, RemoteError, Tree,
};
use dspex_consensus::{Consensus, ConsensusOptions};
use dspex_model::NodeId;
use dspex_python::{Limits, Package, Registry, Zygotes};
use dspex_storage::{DataDirectory, Options};
use futures::future::BoxFuture;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let python: PathBuf = arguments.next().ok_or("usage: pool_round_trips PYTHON [WORKERS] [SECONDS]")?.into();
    let workers: u32 = arguments.next().map_or(Ok(2), |text| text.parse())?;
    let seconds: f64 = arguments.next().map_or(Ok(3.0), |text| text.parse())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(measure(python, workers, Duration::from_secs_f64(seconds)))
}

async fn measure(python: PathBuf, workers: u32, span: Duration) -> Result<(), Failure> {
    let home = std::env::temp_dir().join(format!("dspex-pool-bench-{}", std::process::id()));
    let tree = start(&home, workers).await?;
    let caller = Caller {
        directory: std::env::temp_dir(),
        environment: std::env::vars().collect::<BTreeMap<_, _>>(),
        interpreter: python,
        interpreter_reason: "argument".to_owned(),
        placed: None,
    };
    let (_, pool) = tree.pools().open(PoolClass::General, Some(caller)).await?;
    for _ in 0..200 {
        pool.call(ping()).await?;
    }
    for callers in [1, 64, 100] {
        report(&pool, workers, callers, span).await?;
    }
    tree.stop().await;
    std::fs::remove_dir_all(&home)?;
    Ok(())
}

async fn start(home: &std::path::Path, workers: u32) -> Result<Tree, Failure> {
    std::fs::create_dir_all(home)?;
    let data = DataDirectory::open(home.join("data"), &Options::embedded())?;
    let consensus = Consensus::start(&data, ConsensusOptions::default(), None).await?;
    let registry = Registry::open(&home.join("processes"), "bench")?;
    let package = Package::unpack(&home.join("runtime"))?;
    let mut pools = PoolsSettings::embedded(2);
    for settings in pools.classes.values_mut() {
        settings.workers = workers;
    }
    Tree::start(NodeParts {
        node: data.identity().node_id,
        consensus,
        blobs: data.blobs().clone(),
        zygotes: Zygotes::new(package, registry, Limits::default(), None),
        cpus: 2,
        pools,
        runs: dspex_actors::RunLimits::DEFAULT,
        has_peers: false,
        remote: Arc::new(Alone),
        environments: Vec::new(),
        bundles: Arc::new(Bundles::open(&home.join("bundles"), BundleSettings::default())),
    })
    .await
}

/// A payload of 100 bytes.
fn ping() -> CallRequest {
    let arguments = Bytes::from(format!("\"{}\"", "x".repeat(98)));
    CallRequest { command: "ping".to_owned(), arguments, ..CallRequest::default() }
}

async fn report(pool: &Pool, workers: u32, callers: usize, span: Duration) -> Result<(), Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let began = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let (pool, stop) = (pool.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut latencies_us: Vec<u32> = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let since = Instant::now();
                    pool.call(ping()).await?;
                    latencies_us.push(u32::try_from(since.elapsed().as_micros()).unwrap_or(u32::MAX));
                }
                Ok::<_, dspex_actors::CallError>(latencies_us)
            })
        })
        .collect();
    tokio::time::sleep(span).await;
    stop.store(true, Ordering::Relaxed);
    let mut latencies_us = Vec::new();
    for task in tasks {
        latencies_us.extend(task.await??);
    }
    let elapsed = began.elapsed().as_secs_f64();
    latencies_us.sort_unstable();
    let at = |quantile: f64| latencies_us[((latencies_us.len() - 1) as f64 * quantile) as usize];
    writeln!(
        std::io::stdout(),
        "{{\"case\": \"pool_round_trips\", \"peer\": \"dspex\", \"workers\": {workers}, \"in_flight\": {callers}, \"requests\": {}, \
         \"per_second\": {:.0}, \"median_us\": {}, \"p99_us\": {}, \"most_us\": {}}}",
        latencies_us.len(),
        latencies_us.len() as f64 / elapsed,
        at(0.5),
        at(0.99),
        at(1.0)
    )?;
    Ok(())
}

/// A node without peers.
#[derive(Debug)]
struct Alone;

impl Remote for Alone {
    fn execute<'a>(&'a self, _: NodeId, _: &'a ExecuteRequest) -> BoxFuture<'a, Result<Executed, RemoteError>> {
        Box::pin(async { Err(RemoteError::Unreachable("there are no peers".to_owned())) })
    }
}
