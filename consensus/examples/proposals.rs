//! Measures consensus with one voter on a disk: start-up, and proposals a second at several numbers of callers.
//!
//! `cargo run --release --workspace --example proposals [DIRECTORY]`; prints JSON lines.
#![allow(clippy::print_stdout, reason = "its output is what it is for")]

use std::path::Path;
use std::time::{Duration, Instant};

use dspex_consensus::{Consensus, ConsensusOptions};
use dspex_model::{Command, Proposal};
use dspex_storage::{DataDirectory, Options};

const CALLERS: [u64; 3] = [1, 64, 256];
const MEASURE_FOR: Duration = Duration::from_secs(5);

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    let parent = std::env::args().nth(1).unwrap_or_else(|| "/var/tmp".to_owned());
    let directory = tempfile::tempdir_in(parent)?;
    starts(directory.path()).await?;
    for callers in CALLERS {
        let (data, consensus) = start(directory.path()).await?;
        let (began, syncs) = (Instant::now(), data.log().statistics().syncs);
        let proposals = propose_for(&consensus, callers, MEASURE_FOR).await?;
        let rate = proposals as f64 / began.elapsed().as_secs_f64();
        let syncs = data.log().statistics().syncs - syncs;
        let grouped = proposals as f64 / syncs as f64;
        println!(r#"{{"callers":{callers},"proposals_per_second":{rate:.0},"proposals_per_sync":{grouped:.1}}}"#);
        stop(data, consensus).await?;
    }
    Ok(())
}

async fn starts(path: &Path) -> Result<(), Failure> {
    for start_number in 0..6 {
        let began = Instant::now();
        let (data, consensus) = start(path).await?;
        consensus.propose(tick()).await?;
        let written_ms = began.elapsed().as_secs_f64() * 1e3;
        println!(r#"{{"start":{start_number},"first_write_ms":{written_ms:.1}}}"#);
        stop(data, consensus).await?;
    }
    Ok(())
}

async fn propose_for(consensus: &Consensus, callers: u64, time: Duration) -> Result<u64, Failure> {
    let until = Instant::now() + time;
    let callers: Vec<_> = (0..callers)
        .map(|_| {
            let consensus = consensus.clone();
            tokio::spawn(async move {
                let mut count = 0;
                while Instant::now() < until {
                    consensus.propose(tick()).await?;
                    count += 1;
                }
                Ok::<u64, Failure>(count)
            })
        })
        .collect();
    let mut total = 0;
    for caller in callers {
        total += caller.await??;
    }
    Ok(total)
}

async fn start(path: &Path) -> Result<(DataDirectory, Consensus), Failure> {
    let data = DataDirectory::open(path, &Options::embedded())?;
    let consensus = Consensus::start(&data, ConsensusOptions::default(), None).await?;
    Ok((data, consensus))
}

async fn stop(data: DataDirectory, consensus: Consensus) -> Result<(), Failure> {
    consensus.shutdown().await;
    drop(consensus);
    Ok(data.close()?)
}

fn tick() -> Proposal {
    Proposal::internal(Command::Tick)
}
