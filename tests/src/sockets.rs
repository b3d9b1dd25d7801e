//! The TCP sockets of a process, as Linux shows them: where it listens, and with whom it is connected.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// `TCP_LISTEN`, as the kernel prints it.
const LISTENING: &str = "0A";

/// One end of a connection, or a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Socket {
    /// Its own address.
    pub local: SocketAddr,
    /// That of the other end; of a listener nobody's.
    pub remote: SocketAddr,
    /// Whether it waits for others to come.
    pub listens: bool,
}

/// All of a process.
///
/// # Panics
/// When the process is gone, or another user's.
#[track_caller]
pub fn of(pid: u32) -> BTreeSet<Socket> {
    let own = inodes(pid);
    // The tables of its network; the second one is missing where there is no IPv6.
    let table = |name: &str| fs::read_to_string(format!("/proc/{pid}/net/{name}"));
    let both = table("tcp").expect("the process runs") + &table("tcp6").unwrap_or_default();
    both.lines().filter_map(parse).filter(|(inode, _)| own.contains(inode)).map(|(_, socket)| socket).collect()
}

/// The addresses at which a process listens.
#[track_caller]
pub fn listening(pid: u32) -> BTreeSet<SocketAddr> {
    of(pid).into_iter().filter(|socket| socket.listens).map(|socket| socket.local).collect()
}

/// The connections of a process with another one, whoever began them, and its attempts to have one.
#[track_caller]
pub fn leading_to(from: u32, to: u32) -> BTreeSet<Socket> {
    leading(&of(from), &of(to))
}

fn leading(from: &BTreeSet<Socket>, to: &BTreeSet<Socket>) -> BTreeSet<Socket> {
    from.iter().copied().filter(|one| !one.listens && to.iter().any(|other| one.meets(other))).collect()
}

impl Socket {
    /// Whether the other one is the other end, or where this one knocks.
    fn meets(&self, other: &Self) -> bool {
        if !other.listens {
            return (other.local, other.remote) == (self.remote, self.local);
        }
        let is_there = other.local.ip().is_unspecified() || other.local.ip() == self.remote.ip();
        is_there && other.local.port() == self.remote.port()
    }
}

/// A line of /proc/PID/net/tcp, with the number by which a process holds the socket.
fn parse(line: &str) -> Option<(u64, Socket)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (local, remote) = (address(words.get(1)?)?, address(words.get(2)?)?);
    let inode = words.get(9)?.parse().ok()?;
    Some((inode, Socket { local, remote, listens: *words.get(3)? == LISTENING }))
}

fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let mut bytes = Vec::new();
    for at in (0..ip.len()).step_by(8) {
        // Four bytes of the network, printed as a number of this machine.
        bytes.extend(u32::from_str_radix(ip.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    }
    let ip = match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(four) => IpAddr::V4(Ipv4Addr::from(four)),
        // One of IPv4 that is shown as one of IPv6 is the same.
        Err(_) => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes.as_slice()).ok()?)).to_canonical(),
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

#[track_caller]
fn inodes(pid: u32) -> BTreeSet<u64> {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).expect("the process runs, and is this user's");
    let held = |file: fs::DirEntry| {
        let link = fs::read_link(file.path()).ok()?;
        link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    };
    files.flatten().filter_map(held).collect()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    const HEADER: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt uid inode";

    fn parsed(local: &str, remote: &str, state: &str) -> Option<(u64, Socket)> {
        parse(&format!("   0: {local} {remote} {state} 00000000:00000000 00:00000000 00000000  1000   0 4711 1 0 20"))
    }

    fn socket(local: &str, remote: &str, listens: bool) -> Socket {
        Socket { local: local.parse().expect("an address"), remote: remote.parse().expect("an address"), listens }
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn lines_of_the_kernel_are_read_and_headers_are_none() {
        let listener = socket("127.0.0.1:7400", "0.0.0.0:0", true);
        assert_eq!(parsed("0100007F:1CE8", "00000000:0000", "0A"), Some((4711, listener)));
        let open = socket("10.77.1.2:40000", "10.77.1.1:7410", false);
        assert_eq!(parsed("02014D0A:9C40", "01014D0A:1CF2", "01"), Some((4711, open)));
        let mapped = socket("127.0.0.1:7400", "[::1]:80", false);
        let words = ("0000000000000000FFFF00000100007F:1CE8", "00000000000000000000000001000000:0050");
        assert_eq!(parsed(words.0, words.1, "02"), Some((4711, mapped)));
        assert_eq!((parse(HEADER), parse(""), parsed("01:1", "00000000:0000", "0A")), (None, None, None));
    }

    #[test]
    fn connections_lead_to_their_other_end_and_attempts_to_a_listener() {
        let server = BTreeSet::from([
            socket("127.0.0.1:7400", "0.0.0.0:0", true),
            socket("0.0.0.0:7410", "0.0.0.0:0", true),
            socket("127.0.0.1:50000", "127.0.0.1:50001", false),
        ]);
        let leads = |local, remote| !leading(&BTreeSet::from([socket(local, remote, false)]), &server).is_empty();
        assert!(leads("127.0.0.1:50001", "127.0.0.1:50000"), "its other end, whoever began");
        assert!(leads("127.0.0.1:50002", "127.0.0.1:7400") && leads("10.0.0.1:50002", "10.0.0.2:7410"), "it knocks");
        assert!(!leads("127.0.0.1:50002", "127.0.0.1:50000"), "of somebody else");
        assert!(!leads("127.0.0.1:50002", "127.0.0.2:7400") && !leads("127.0.0.1:50002", "127.0.0.1:7401"));
        assert_eq!(leading(&server, &server), BTreeSet::new(), "a listener leads nowhere");
    }

    #[test]
    fn the_sockets_of_this_process_are_seen_and_gone_when_they_are_closed() {
        let own = std::process::id();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let before = leading_to(own, own).into_iter().filter(|socket| socket.remote == address).count();
        assert_eq!((listening(own).contains(&address), before), (true, 0));
        let stream = TcpStream::connect(address).expect("connected");
        let (local, open) = (stream.local_addr().expect("an address"), leading_to(own, own));
        assert!(open.contains(&Socket { local, remote: address, listens: false }), "{open:?}");
        drop((listener, stream));
        assert!(!of(own).iter().any(|socket| socket.local == address || socket.remote == address));
    }
}
