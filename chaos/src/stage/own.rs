//! Every fault at a cluster of our own.

use std::time::{Duration, Instant};

use dspex_api::v1::PoolWorker;

use super::{Stage, disk_faults, flipped_byte};
use crate::cluster::{Cluster, ClusterError};
use crate::fault::full_disk::FullDisk;
use crate::fault::pause::Pause;
use crate::fault::{kill, power_cut, read_only};
use crate::schedule::Fault;
use crate::target::Target;

/// Workers that die at once, at the most.
const WORKERS_KILLED: usize = 2;
/// Workers load for a while, and a run that is over has none.
const WORKERS_PATIENCE: Duration = Duration::from_secs(10);

/// A cluster of ours with the fault that it bears.
#[derive(Debug)]
pub struct OwnCluster<'a> {
    cluster: &'a mut Cluster,
    underway: Underway,
}

/// What has to be put back.
#[derive(Debug, Default)]
enum Underway {
    #[default]
    Nothing,
    /// Dropped, they go on.
    Paused(Vec<Pause>),
    Cut,
    Clock(usize),
    Down(Vec<usize>),
    Powerless(Vec<usize>),
    Disk(disk_faults::Suffering),
    Flipped(flipped_byte::Flip),
}

impl<'a> OwnCluster<'a> {
    /// On this cluster, whose nodes all run.
    pub fn new(cluster: &'a mut Cluster) -> Self {
        Self { cluster, underway: Underway::Nothing }
    }

    fn kill(&mut self, nodes: &[usize]) -> Result<(), ClusterError> {
        // Kept first, so that what was killed before an error is started again.
        self.underway = Underway::Down(nodes.to_vec());
        nodes.iter().try_for_each(|&node| self.cluster.node(node).kill())
    }

    fn pause(&mut self, nodes: &[usize]) -> Result<(), ClusterError> {
        let pause = |&node: &usize| {
            let known = self.cluster.node(node).pid();
            let pid = known.ok_or_else(|| ClusterError::Impossible(format!("node-{} does not run", node + 1)))?;
            Ok(Pause::begin(pid)?)
        };
        self.underway = Underway::Paused(nodes.iter().map(pause).collect::<Result<_, ClusterError>>()?);
        Ok(())
    }

    fn cut_power(&mut self, nodes: &[usize]) -> Result<(), ClusterError> {
        self.underway = Underway::Powerless(nodes.to_vec());
        // First the machine, then its disk. The other way round a node could still acknowledge what its disk has lost: see
        // `power_cut`.
        nodes.iter().try_for_each(|&node| self.cluster.node(node).kill())?;
        nodes.iter().try_for_each(|&node| Ok(power_cut::cut_power(self.cluster.node(node).disk()?)?))
    }

    fn isolate_leader(&mut self) -> Result<(), ClusterError> {
        let limit = Duration::from_secs(10);
        let leader = self.cluster.leader_within(limit)?;
        self.underway = Underway::Cut;
        Ok(self.cluster.network()?.cut_host(host(leader))?)
    }

    fn suffer(&mut self, node: usize, kind: disk_faults::Kind) -> Result<(), ClusterError> {
        let log_length = self.cluster.node(node).log_length();
        let disk = self.cluster.node(node).disk()?;
        let full = match kind {
            disk_faults::Kind::Full => Some(FullDisk::fill(disk)?),
            disk_faults::Kind::ReadOnly => {
                read_only::emergency(disk)?;
                None
            }
            disk_faults::Kind::Failing => {
                power_cut::cut_power(disk)?;
                None
            }
        };
        self.underway = Underway::Disk(disk_faults::Suffering { node, kind, full, log_length });
        Ok(())
    }

    /// Workers that have loaded their program: a run whose workers never come up is given up, as it should be.
    fn kill_workers(&mut self, first: usize) -> Result<(), ClusterError> {
        let begun = Instant::now();
        let nodes = self.cluster.nodes().len();
        loop {
            for node in (0..nodes).map(|step| (first + step) % nodes) {
                let workers = self.cluster.everyone().ask(node, async |client| client.list_workers().await);
                let at_work = |worker: &PoolWorker| {
                    !worker.run_id.is_empty() && worker.pid > 0 && ["ready", "busy"].contains(&worker.state.as_str())
                };
                let at_work: Vec<u32> = workers
                    .unwrap_or_default()
                    .iter()
                    .filter(|worker| at_work(worker))
                    .map(|worker| worker.pid)
                    .collect();
                // One that has ended by itself meanwhile is no fault.
                if at_work.iter().take(WORKERS_KILLED).filter(|pid| kill::kill(**pid).is_ok()).count() > 0 {
                    return Ok(());
                }
            }
            if begun.elapsed() > WORKERS_PATIENCE {
                return Err(ClusterError::Impossible("no node has a worker of a run".to_owned()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn start_all(&mut self, nodes: &[usize]) -> Result<(), ClusterError> {
        nodes.iter().try_for_each(|&node| {
            if self.cluster.node(node).pid().is_none() { self.cluster.start_node(node) } else { Ok(()) }
        })
    }
}

impl Stage for OwnCluster<'_> {
    fn target(&self) -> &Target {
        self.cluster.target()
    }

    fn begin(&mut self, fault: &Fault) -> Result<(), ClusterError> {
        match fault {
            Fault::Kill(nodes) => self.kill(nodes),
            Fault::Pause(nodes) => self.pause(nodes),
            Fault::Partition(groups) => {
                let groups: Vec<Vec<u32>> =
                    groups.iter().map(|group| group.iter().map(|&node| host(node)).collect()).collect();
                let groups: Vec<&[u32]> = groups.iter().map(Vec::as_slice).collect();
                self.underway = Underway::Cut;
                Ok(self.cluster.network()?.partition(&groups)?)
            }
            Fault::OneWay(from, to) => {
                self.underway = Underway::Cut;
                let network = self.cluster.network()?;
                to.iter().try_for_each(|&to| Ok(network.cut_way(host(*from), host(to))?))
            }
            Fault::IsolateLeader => self.isolate_leader(),
            Fault::JumpClock(node, seconds) => {
                self.underway = Underway::Clock(*node);
                Ok(self.cluster.node(*node).clock_mut()?.jump(*seconds)?)
            }
            Fault::CutPower(nodes) => self.cut_power(nodes),
            Fault::FillDisk(node) => self.suffer(*node, disk_faults::Kind::Full),
            Fault::ForbidWrites(node) => self.suffer(*node, disk_faults::Kind::ReadOnly),
            Fault::FailDisk(node) => self.suffer(*node, disk_faults::Kind::Failing),
            Fault::KillWorkers(node) => self.kill_workers(*node),
            Fault::FlipByte(node) => {
                self.cluster.node(*node).kill()?;
                self.underway = Underway::Down(vec![*node]);
                let flip = flipped_byte::Flip::begin(self.cluster, *node)?;
                self.underway = Underway::Flipped(flip);
                Ok(())
            }
        }
    }

    fn end(&mut self, _: &Fault) -> Result<Vec<String>, ClusterError> {
        match std::mem::take(&mut self.underway) {
            Underway::Nothing => {}
            Underway::Paused(pauses) => drop(pauses),
            Underway::Cut => self.cluster.network()?.heal()?,
            Underway::Clock(node) => {
                let clock = self.cluster.node(node).clock_mut()?;
                let ahead = clock.ahead_seconds();
                clock.jump(-ahead)?;
            }
            Underway::Down(nodes) => self.start_all(&nodes)?,
            Underway::Powerless(nodes) => {
                nodes.iter().try_for_each(|&node| {
                    self.cluster.node(node).disk_mut()?.mount_again().map_err(ClusterError::from)
                })?;
                self.start_all(&nodes)?;
            }
            Underway::Disk(suffering) => return suffering.end(self.cluster),
            Underway::Flipped(flip) => return flip.end(self.cluster),
        }
        Ok(Vec::new())
    }

    fn command(&self) -> Option<String> {
        Some(self.cluster.put_command())
    }

    fn own(&mut self) -> Option<&mut Cluster> {
        Some(self.cluster)
    }
}

/// The host of a node.
fn host(node: usize) -> u32 {
    u32::try_from(node + 1).unwrap_or(u32::MAX)
}
