//! Records executions in a node of its own, and measures pages of them, newest first, by each index; then a start.
//!
//! `cargo run --release --workspace --example execution_pages DIRECTORY EXECUTIONS PAGES`; prints JSON lines.
#![allow(clippy::print_stdout, reason = "its output is what it is for")]

use std::path::Path;
use std::time::{Duration, Instant};

use dspex_consensus::{Consensus, ConsensusOptions, Freshness};
use dspex_model::{
    Command, EXECUTIONS_MAX, Execution, ExecutionId, ExecutionQuery, ExecutionStatus, ExecutionValue, NodeId, Outcome,
    Proposal, SessionId,
};
use dspex_storage::{DataDirectory, Options};

const CALLERS: u64 = 16;
const OF_A_COMMAND: u64 = 64;
const PAGE: usize = 100;
const PROGRAMS: u64 = 100;
const SESSIONS: u64 = 10_000;
/// One execution in so many is of a program that is seldom called.
const SELDOM: u64 = 10_000;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |name: &str| arguments.next().ok_or(format!("{name} is missing"));
    let (parent, count, pages) =
        (next("DIRECTORY")?, next("EXECUTIONS")?.parse::<u64>()?, next("PAGES")?.parse::<u64>()?);
    let directory = tempfile::tempdir_in(parent)?;
    let (data, consensus) = start(directory.path()).await?;
    let began = Instant::now();
    record(&consensus, count).await?;
    let seconds = began.elapsed().as_secs_f64();
    println!(r#"{{"recorded":{count},"per_second":{:.0}}}"#, count as f64 / seconds);
    measure(&consensus, count, pages).await?;
    stop(data, consensus).await?;

    let began = Instant::now();
    let (data, consensus) = start(directory.path()).await?;
    consensus.propose(Proposal::internal(Command::Tick)).await?;
    println!(r#"{{"start_ms":{:.1},"memory_bytes":{}}}"#, began.elapsed().as_secs_f64() * 1e3, memory()?);
    measure_one(&consensus, "program and status, after the start", pages, |number| of_program(number, true)).await?;
    stop(data, consensus).await
}

/// Each index, with a page of another place or another value each time.
async fn measure(consensus: &Consensus, count: u64, pages: u64) -> Result<(), Failure> {
    let all = ExecutionQuery { limit: PAGE, ..ExecutionQuery::default() };
    let kept: u64 = consensus.executions(all.clone(), Freshness::Linearizable).await?.counts.iter().sum();
    if count >= EXECUTIONS_MAX && !(EXECUTIONS_MAX..EXECUTIONS_MAX + 100_000).contains(&kept) {
        return Err(format!("{kept} executions are kept").into());
    }
    let anywhere = move |number: u64| Some(1 + count - number * 7919 % count.min(EXECUTIONS_MAX));
    let query = all.clone();
    measure_one(consensus, "all", pages, move |number| ExecutionQuery { before: anywhere(number), ..query.clone() })
        .await?;
    measure_one(consensus, "program", pages, |number| of_program(number, false)).await?;
    measure_one(consensus, "program and status", pages, |number| of_program(number, true)).await?;
    let query = all.clone();
    let seldom = move |_| ExecutionQuery { program: Some("seldom".to_owned()), ..query.clone() };
    measure_one(consensus, "a program that is seldom called", pages, seldom).await?;
    let query = all.clone();
    let status = move |number| ExecutionQuery {
        status: Some(ExecutionStatus::Failed),
        before: anywhere(number),
        ..query.clone()
    };
    measure_one(consensus, "status", pages, status).await?;
    let query = all.clone();
    let session = move |number: u64| ExecutionQuery {
        session: Some(format!("session-{}", number * 31 % SESSIONS)),
        ..query.clone()
    };
    measure_one(consensus, "session", pages, session).await?;
    let newest_ms = consensus.executions(all.clone(), Freshness::Stale).await?.items[0].1.created_ms;
    let until = move |number: u64| ExecutionQuery { until_ms: Some(newest_ms - number % 1000), ..all.clone() };
    measure_one(consensus, "before a time", pages, until).await
}

fn of_program(number: u64, and_status: bool) -> ExecutionQuery {
    ExecutionQuery {
        program: Some(format!("program-{}", number * 13 % PROGRAMS)),
        status: and_status.then_some(ExecutionStatus::Failed),
        limit: PAGE,
        ..ExecutionQuery::default()
    }
}

async fn measure_one(
    consensus: &Consensus,
    what: &str,
    pages: u64,
    query: impl Fn(u64) -> ExecutionQuery,
) -> Result<(), Failure> {
    let mut times = Vec::new();
    let mut items = 0;
    for number in 0..pages {
        let query = query(number);
        let began = Instant::now();
        let page = consensus.executions(query, Freshness::Linearizable).await?;
        times.push(began.elapsed());
        items += page.items.len();
    }
    times.sort();
    let ms = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    println!(
        r#"{{"page":"{what}","median_ms":{:.3},"p99_ms":{:.3},"longest_ms":{:.3},"items":{:.1}}}"#,
        ms(0.5),
        ms(0.99),
        ms(1.0),
        items as f64 / pages as f64
    );
    Ok(())
}

async fn record(consensus: &Consensus, count: u64) -> Result<(), Failure> {
    let callers = (0..CALLERS).map(|caller| {
        let consensus = consensus.clone();
        tokio::spawn(async move {
            let own = (caller * OF_A_COMMAND..count).step_by((CALLERS * OF_A_COMMAND) as usize);
            for first in own {
                let executions: Vec<Execution> = (first..count.min(first + OF_A_COMMAND)).map(execution).collect();
                let wanted = executions.len() as u32;
                let command = Command::RecordExecutions { executions };
                match consensus.propose(Proposal::internal(command)).await? {
                    Outcome::ExecutionsRecorded { recorded, .. } if recorded == wanted => {}
                    other => return Err(format!("{other:?}").into()),
                }
            }
            Ok::<(), Failure>(())
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await??;
    }
    Ok(())
}

fn execution(number: u64) -> Execution {
    let program = match number.is_multiple_of(SELDOM) {
        true => "seldom".to_owned(),
        false => format!("program-{}", number % PROGRAMS),
    };
    let is_failed = number % 10 == 3;
    Execution {
        id: ExecutionId(u128::from(number) << 64 | u128::from(number.wrapping_mul(0x9e37_79b9_7f4a_7c15))),
        program,
        program_id: None,
        program_version: Some(1),
        session: SessionId::new(format!("session-{}", number % SESSIONS)).ok(),
        status: if is_failed { ExecutionStatus::Failed } else { ExecutionStatus::Succeeded },
        input: ExecutionValue::Inline(format!(
            r#"{{"question":"what is {number} times two, and what is it good for?"}}"#
        )),
        output: Some(ExecutionValue::Inline(format!(
            r#"{{"answer":"{}","reasoning":"{}"}}"#,
            number * 2,
            "so ".repeat(40)
        ))),
        trace: None,
        metrics: r#"{"usage":{"openai/gpt-4o-mini":{"total_tokens":120}},"cost_usd":0.0001}"#.to_owned(),
        error: None,
        duration_us: number % 100_000,
        queued_us: 10,
        node: NodeId(1),
        worker: "python_worker_1_5e1bd0c4".to_owned(),
        actor: Some("web".to_owned()),
        trace_id: Some(u128::from(number)),
    }
}

/// Of this process.
fn memory() -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

async fn start(path: &Path) -> Result<(DataDirectory, Consensus), Failure> {
    let data = DataDirectory::open(path, &Options::embedded())?;
    // A million are recorded as fast as the disk takes them: snapshots are in the way of nothing that is measured.
    let options = ConsensusOptions { time_limit: Duration::from_secs(60), ..ConsensusOptions::default() };
    let consensus = Consensus::start(&data, options, None).await?;
    Ok((data, consensus))
}

async fn stop(data: DataDirectory, consensus: Consensus) -> Result<(), Failure> {
    consensus.shutdown().await;
    drop(consensus);
    Ok(data.close()?)
}
