//! Hosts of a run's own on a switch of its own, and cuts between them.
//!
//! ```text
//!   outside (this process)      h1           h2           h3        namespaces
//!        |10.77.n.254           |10.77.n.1   |10.77.n.2   |10.77.n.3
//!        p0                     p1           p2           p3        ports
//!        +----------- switch (a bridge in a namespace) ---+
//! ```
//! A host is cut off by taking its port down: its own address stays, as with a cable that is pulled. A way from one host to another
//! is cut by a rule in the switch, in that direction only. Nothing tells either side: packets are lost.

mod cuts;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use self::cuts::Cuts;
use super::FaultError;
use super::command::{are_installed, is_root, run, run_with};

/// The number of whoever is not on a host: this process and what it starts without `command`.
pub const OUTSIDE: u32 = 0;

/// The most hosts that a network has.
pub const HOSTS_MAX: u32 = 100;

/// Networks of this process so far.
static MADE: AtomicU32 = AtomicU32::new(0);

/// Hosts on a switch. All of it goes away with this value; end what runs on the hosts before.
#[derive(Debug)]
pub struct Network {
    /// Begins all names; of this process and this network only.
    tag: String,
    subnet: u8,
    hosts: u32,
    cut_hosts: BTreeSet<u32>,
    cuts: Cuts,
}

/// Why networks cannot be had here.
pub fn probe() -> Result<(), String> {
    is_root()?;
    are_installed(&[("ip", "iproute2"), ("nft", "nftables"), ("nsenter", "util-linux")])?;
    let mut network = Network::new(2).map_err(|error| error.to_string())?;
    network.cut_pair(1, 2).map_err(|error| error.to_string())
}

impl Network {
    /// One with hosts 1 to `hosts`.
    pub fn new(hosts: u32) -> Result<Self, FaultError> {
        if !(1..=HOSTS_MAX).contains(&hosts) {
            return Err(FaultError::Impossible(format!("a network has 1 to {HOSTS_MAX} hosts, not {hosts}")));
        }
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        // Names of links have 15 bytes.
        let tag = format!("dx{:x}-{:x}", std::process::id(), number % 256);
        let subnet = free_subnet(std::process::id().wrapping_add(number))?;
        let network = Self { tag, subnet, hosts, cut_hosts: BTreeSet::new(), cuts: Cuts::default() };
        // Made before anything else, so that what was made so far is removed where the rest cannot be.
        network.set_up()?;
        Ok(network)
    }

    /// What the names of its namespaces and links begin with.
    pub fn name(&self) -> &str {
        &self.tag
    }

    /// How many hosts it has.
    pub fn hosts(&self) -> u32 {
        self.hosts
    }

    /// The address of a host, or of the outside.
    pub fn address(&self, host: u32) -> Ipv4Addr {
        let last = if host == OUTSIDE { 254 } else { u8::try_from(host).unwrap_or(0) };
        Ipv4Addr::new(10, 77, self.subnet, last)
    }

    /// A command that runs on a host. It sees the same files and has the id of the started process; only its network is
    /// another.
    pub fn command(&self, host: u32, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.host(host))).arg("--").arg(program);
        command
    }

    /// Cuts a host off from everybody.
    pub fn cut_host(&mut self, host: u32) -> Result<(), FaultError> {
        self.set_port(host, "down")?;
        self.cut_hosts.insert(host);
        Ok(())
    }

    /// Ends `cut_host`.
    pub fn heal_host(&mut self, host: u32) -> Result<(), FaultError> {
        self.set_port(host, "up")?;
        self.cut_hosts.remove(&host);
        Ok(())
    }

    /// What `from` sends does not reach `to`; the other way is open.
    pub fn cut_way(&mut self, from: u32, to: u32) -> Result<(), FaultError> {
        self.change(|cuts| cuts.cut(from, to))
    }

    /// Neither reaches the other.
    pub fn cut_pair(&mut self, one: u32, other: u32) -> Result<(), FaultError> {
        self.change(|cuts| {
            cuts.cut(one, other);
            cuts.cut(other, one);
        })
    }

    /// Ends what `cut_way` and `cut_pair` did to these two.
    pub fn heal_pair(&mut self, one: u32, other: u32) -> Result<(), FaultError> {
        self.change(|cuts| {
            cuts.heal(one, other);
            cuts.heal(other, one);
        })
    }

    /// A partition: hosts reach those of their own group only. The outside reaches all, and who is in no group does.
    pub fn partition(&mut self, groups: &[&[u32]]) -> Result<(), FaultError> {
        self.change(|cuts| cuts.partition(groups))
    }

    /// Ends all cuts.
    pub fn heal(&mut self) -> Result<(), FaultError> {
        self.change(|cuts| *cuts = Cuts::default())?;
        self.cut_hosts.clone().into_iter().try_for_each(|host| self.heal_host(host))
    }

    fn change(&mut self, change: impl FnOnce(&mut Cuts)) -> Result<(), FaultError> {
        let mut cuts = self.cuts.clone();
        change(&mut cuts);
        self.apply(&cuts)?;
        self.cuts = cuts;
        Ok(())
    }

    /// In one transaction of the kernel: no packet sees half of it.
    fn apply(&self, cuts: &Cuts) -> Result<(), FaultError> {
        let namespace = format!("--net=/run/netns/{}", self.switch());
        run_with(&["nsenter", &namespace, "--", "nft", "-f", "-"], &cuts.rules()).map(|_| ())
    }

    fn set_port(&self, host: u32, state: &str) -> Result<(), FaultError> {
        self.ip(&self.switch(), &["link", "set", &port(host), state])
    }

    fn set_up(&self) -> Result<(), FaultError> {
        let switch = self.switch();
        run(&["ip", "netns", "add", &switch])?;
        self.ip(&switch, &["link", "add", "name", "switch", "type", "bridge"])?;
        self.ip(&switch, &["link", "set", "dev", "switch", "up"])?;
        self.apply(&self.cuts)?;
        let outside = self.outside();
        self.plug_in(OUTSIDE, &outside, &std::process::id().to_string())?;
        run_with(&["ip", "-batch", "-"], &self.settings(OUTSIDE, &outside))?;
        for host in 1..=self.hosts {
            let name = self.host(host);
            run(&["ip", "netns", "add", &name])?;
            self.plug_in(host, "eth0", &name)?;
            run_with(&["ip", "-n", &name, "-batch", "-"], &self.settings(host, "eth0"))?;
        }
        Ok(())
    }

    /// For `ip -batch -`: addresses, and those of all others, so that nobody has to ask for them: a cut is packets that are
    /// lost, not a neighbour that is reported as unreachable, and is over when it is healed.
    fn settings(&self, host: u32, link: &str) -> String {
        let address = |host| self.address(host);
        let own = link_address(host);
        let mut lines = format!("link set dev {link} address {own} up\naddress add {}/24 dev {link}\n", address(host));
        if host != OUTSIDE {
            lines.push_str("link set dev lo up\n");
        }
        for other in (OUTSIDE..=self.hosts).filter(|&other| other != host) {
            let line = format!("neighbour add {} lladdr {} dev {link}\n", address(other), link_address(other));
            lines.push_str(&line);
        }
        lines
    }

    /// A cable from a port of the switch to a link in another namespace, given by name or by a process in it.
    fn plug_in(&self, host: u32, link: &str, namespace: &str) -> Result<(), FaultError> {
        let (switch, port) = (self.switch(), port(host));
        let ends = ["link", "add", "name", &port, "type", "veth", "peer", "name", link, "netns", namespace];
        self.ip(&switch, &ends)?;
        self.ip(&switch, &["link", "set", "dev", &port, "master", "switch"])?;
        self.ip(&switch, &["link", "set", "dev", &port, "up"])
    }

    fn ip(&self, namespace: &str, words: &[&str]) -> Result<(), FaultError> {
        run(&[&["ip", "-n", namespace], words].concat()).map(|_| ())
    }

    fn switch(&self) -> String {
        format!("{}-switch", self.tag)
    }

    fn host(&self, host: u32) -> String {
        format!("{}-h{host}", self.tag)
    }

    fn outside(&self) -> String {
        format!("{}-o", self.tag)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // A process that still ends keeps its namespace alive, not the cable.
        for host in 0..=self.hosts {
            let _ = self.ip(&self.switch(), &["link", "delete", "dev", &port(host)]);
        }
        for host in 1..=self.hosts {
            let _ = run(&["ip", "netns", "delete", &self.host(host)]);
        }
        let _ = run(&["ip", "netns", "delete", &self.switch()]);
    }
}

/// Of our own making, as its first byte says.
fn link_address(host: u32) -> String {
    format!("02:d5:be:00:00:{host:02x}")
}

fn port(host: u32) -> String {
    format!("p{host}")
}

/// The first of 10.77.0.0/24 to 10.77.255.0/24, from a place that differs from run to run, to which no route leads.
fn free_subnet(from: u32) -> Result<u8, FaultError> {
    let routes = run(&["ip", "-4", "route", "show"])?;
    let is_free = |subnet: &u8| !routes.contains(&format!("10.77.{subnet}.0/24"));
    (0..=u8::MAX).map(|step| step.wrapping_add((from % 256) as u8)).find(is_free).ok_or_else(|| {
        let message = "all of 10.77.0.0/16 is in use: remove networks that killed runs left behind (ip netns)";
        FaultError::Impossible(message.to_owned())
    })
}
