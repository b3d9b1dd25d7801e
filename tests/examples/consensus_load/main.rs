//! The client of the consensus benchmarks: one program for DSPex and for etcd, so that only the servers differ.
//!
//! It takes its order as JSON and prints its answer as a line of JSON. `benches/harness/clusters/base.py` gives the orders.

mod agreement;
mod channel;
mod cpu;
mod dspex;
mod etcd;
mod filling;
mod first_answer;
mod gap;
mod order;
mod rates;
mod system;
mod writer;

use std::io::Write as _;

use order::{Order, Task};
use system::Cluster;

/// Whatever ends a task, in words.
type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main(flavor = "multi_thread")]
async fn main() -> Result<(), Failure> {
    let text = std::env::args().nth(1).ok_or("the order is missing: benches/harness/clusters/base.py makes it")?;
    let order: Order = serde_json::from_str(&text)?;
    let cluster = Cluster::of(&order)?;
    let answer = match order.task {
        Task::Agree { limit_s } => agreement::reached(&cluster, limit_s).await?.told(),
        Task::Rates(rates) => rates::measure(&cluster, &rates).await?,
        Task::Kill => gap::of_kill(&cluster).await?,
        Task::Transfer => gap::of_transfer(&cluster).await?,
        Task::Fill(filling) => filling::fill(&cluster, &filling).await?,
        Task::FirstAnswer { node, key, limit_s } => first_answer::times(&cluster, node, &key, limit_s).await?,
    };
    writeln!(std::io::stdout(), "{answer}")?;
    Ok(())
}
