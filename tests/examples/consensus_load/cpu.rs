//! CPU time, as the kernel counts it: of the servers, of this program, and of the whole machine.

use std::time::Instant;

use crate::Failure;
use crate::system::Cluster;

/// All counters at one time.
pub struct Reading {
    at: Instant,
    servers: f64,
    client: f64,
    machine: f64,
}

/// What was used between two readings, in seconds.
pub struct Used {
    pub wall: f64,
    /// All servers together.
    pub servers: f64,
    /// This program.
    pub client: f64,
    /// How many CPUs somebody else kept busy.
    pub others_cpus: f64,
}

impl Reading {
    pub fn take(cluster: &Cluster) -> Result<Self, Failure> {
        let mut servers = 0.0;
        for node in &cluster.nodes {
            servers += of_process(&node.pid.to_string())?;
        }
        Ok(Self { at: Instant::now(), servers, client: of_process("self")?, machine: of_machine()? })
    }

    pub fn since(&self, before: &Self) -> Used {
        let wall = self.at.duration_since(before.at).as_secs_f64();
        let (servers, client) = (self.servers - before.servers, self.client - before.client);
        let others = (self.machine - before.machine - servers - client).max(0.0);
        Used { wall, servers, client, others_cpus: others / wall }
    }
}

/// User and system time of a process with all its threads.
fn of_process(process: &str) -> Result<f64, Failure> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let fields: Vec<&str> = stat.rsplit_once(") ").map(|(_, rest)| rest.split(' ').collect()).unwrap_or_default();
    seconds(fields.get(11..13).unwrap_or_default())
}

/// All that is not idle and not waiting for a disk: user, nice, system, interrupts, steal.
fn of_machine() -> Result<f64, Failure> {
    let stat = std::fs::read_to_string("/proc/stat")?;
    let fields: Vec<&str> = stat.lines().next().unwrap_or_default().split_whitespace().skip(1).collect();
    let busy = [0, 1, 2, 5, 6, 7].map(|place| fields.get(place).copied().unwrap_or("0"));
    seconds(&busy)
}

fn seconds(ticks: &[&str]) -> Result<f64, Failure> {
    let mut sum = 0.0;
    for field in ticks {
        sum += field.parse::<f64>()?;
    }
    Ok(sum / rustix::param::clock_ticks_per_second() as f64)
}
