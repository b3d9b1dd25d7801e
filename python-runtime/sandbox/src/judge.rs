//! Where a worker may connect: a pure judgement of an address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::path::{Path, PathBuf};

const EINVAL: i32 = 22;
const EACCES: i32 = 13;
const EAFNOSUPPORT: i32 = 97;

const AF_UNSPEC: u16 = 0;
const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// Names of hosts are asked for there, in some clouds at the address of the metadata service.
const DNS: u16 = 53;

/// The node's own ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// Of its API and its pages: nobody reaches them at an address of this machine.
    pub of_callers: Vec<u16>,
    /// Of it and the other nodes, for each other: nobody reaches them anywhere.
    pub of_peers: Vec<u16>,
}

/// What a worker may reach.
#[derive(Clone, Debug, Default)]
pub struct Judge {
    /// Ports that are the nodes'.
    pub endpoints: Endpoints,
    /// Directories whose files a worker may write: sockets there are its own, and it may change modes and times.
    pub roots: Vec<PathBuf>,
}

/// An address, as a program names it to the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Internet(SocketAddr),
    /// A socket with a name in the file system.
    Path(PathBuf),
    /// One without.
    Abstract,
    /// To take a connection back.
    Nothing,
}

impl Address {
    /// Of `struct sockaddr`; an errno where the kernel would refuse it, too.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, i32> {
        let (family, rest) = bytes.split_first_chunk::<2>().ok_or(EINVAL)?;
        let port = || rest.first_chunk::<2>().map(|port| u16::from_be_bytes(*port));
        let part = |from: usize, to: usize| rest.get(from..to).ok_or(EINVAL);
        match u16::from_ne_bytes(*family) {
            AF_UNSPEC => Ok(Self::Nothing),
            AF_INET => {
                let address: [u8; 4] = part(2, 6)?.try_into().map_err(|_| EINVAL)?;
                // The kernel wants all 16 bytes.
                part(6, 14)?;
                Ok(Self::Internet(SocketAddrV4::new(address.into(), port().ok_or(EINVAL)?).into()))
            }
            AF_INET6 => {
                let flow: [u8; 4] = part(2, 6)?.try_into().map_err(|_| EINVAL)?;
                let address: [u8; 16] = part(6, 22)?.try_into().map_err(|_| EINVAL)?;
                // Without its scope it is 24 bytes long.
                let scope = rest.get(22..26).and_then(|scope| scope.try_into().ok()).map_or(0, u32::from_ne_bytes);
                let (address, port) = (Ipv6Addr::from(address), port().ok_or(EINVAL)?);
                Ok(Self::Internet(SocketAddrV6::new(address, port, u32::from_ne_bytes(flow), scope).into()))
            }
            AF_UNIX => match rest.first() {
                None => Err(EINVAL),
                Some(0) => Ok(Self::Abstract),
                Some(_) => {
                    let name = rest.split(|byte| *byte == 0).next().unwrap_or_default();
                    let name = std::str::from_utf8(name).map_err(|_| EACCES)?;
                    Ok(Self::Path(name.into()))
                }
            },
            _ => Err(EAFNOSUPPORT),
        }
    }
}

impl Judge {
    /// Whether a connection to this address may be made. `is_local` says whether an address is one of this machine.
    pub(crate) fn allows(&self, address: &SocketAddr, is_local: impl FnOnce(IpAddr) -> bool) -> bool {
        let (ip, port) = (plain(address.ip()), address.port());
        if self.endpoints.of_peers.contains(&port) || (is_metadata(ip) && port != DNS) {
            return false;
        }
        !self.endpoints.of_callers.contains(&port) || !is_local(ip)
    }

    /// The root that a path lies in, and the rest of it, in which `..` may still stand.
    pub(crate) fn beneath<'a>(&self, path: &'a Path) -> Option<(usize, &'a Path)> {
        self.roots.iter().enumerate().find_map(|(number, root)| Some((number, path.strip_prefix(root).ok()?)))
    }
}

/// The version 4 of an address that stands for one.
fn plain(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(address) = ip else { return ip };
    let parts = address.segments();
    let at = |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    match parts {
        // Mapped, compatible, and translated addresses.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => at(high, low),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => at(high, low),
        // 6to4.
        [0x2002, high, low, ..] => at(high, low),
        _ => ip,
    }
}

/// Services that give the machine's credentials to whoever asks from it.
fn is_metadata(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(address) => {
            // All of the link: AWS, GCP, Azure, Oracle, DigitalOcean, and containers of AWS.
            address.is_link_local()
                || [
                    // Alibaba.
                    Ipv4Addr::new(100, 100, 100, 200),
                    // Azure's host.
                    Ipv4Addr::new(168, 63, 129, 16),
                    // Oracle, the older one.
                    Ipv4Addr::new(192, 0, 0, 192),
                ]
                .contains(&address)
        }
        IpAddr::V6(address) => match address.segments() {
            // AWS: fd00:ec2::/32. GCP: fd20:ce::254.
            [0xfd00, 0x0ec2, ..] | [0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254] => true,
            // fe80::a9fe:a9fe: OpenStack.
            [0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe] => true,
            _ => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(port: u16, address: [u8; 4]) -> Vec<u8> {
        [&AF_INET.to_ne_bytes()[..], &port.to_be_bytes(), &address, &[0; 8]].concat()
    }

    fn v6(port: u16, address: Ipv6Addr, scope: u32) -> Vec<u8> {
        [&AF_INET6.to_ne_bytes()[..], &port.to_be_bytes(), &[0; 4], &address.octets(), &scope.to_ne_bytes()].concat()
    }

    fn unix(name: &[u8]) -> Vec<u8> {
        [&AF_UNIX.to_ne_bytes()[..], name].concat()
    }

    #[test]
    fn addresses_are_read_as_the_kernel_reads_them() {
        assert_eq!(Address::parse(&v4(80, [10, 0, 0, 1])), Ok(Address::Internet("10.0.0.1:80".parse().expect("v4"))));
        let scoped = SocketAddrV6::new("fe80::1".parse().expect("v6"), 443, 0, 2);
        assert_eq!(Address::parse(&v6(443, *scoped.ip(), 2)), Ok(Address::Internet(scoped.into())));
        let short = v6(443, Ipv6Addr::LOCALHOST, 9);
        assert_eq!(Address::parse(&short[..24]), Ok(Address::Internet("[::1]:443".parse().expect("v6"))));
        assert_eq!(Address::parse(&unix(b"/own/s\0rest")), Ok(Address::Path("/own/s".into())));
        // A name that fills the field ends without a zero.
        assert_eq!(Address::parse(&unix(b"s")), Ok(Address::Path("s".into())));
        assert_eq!(Address::parse(&unix(b"\0name")), Ok(Address::Abstract));
        assert_eq!(Address::parse(&AF_UNSPEC.to_ne_bytes()), Ok(Address::Nothing));
        for (bytes, errno) in [
            (vec![], EINVAL),
            (vec![2], EINVAL),
            (v4(80, [10, 0, 0, 1])[..15].to_vec(), EINVAL),
            (v6(80, Ipv6Addr::LOCALHOST, 0)[..23].to_vec(), EINVAL),
            (unix(b""), EINVAL),
            (unix(b"/\xff"), EACCES),
            (16_u16.to_ne_bytes().to_vec(), EAFNOSUPPORT),
        ] {
            assert_eq!(Address::parse(&bytes), Err(errno), "{bytes:?}");
        }
    }

    fn allows(address: &str) -> bool {
        let endpoints = Endpoints { of_callers: vec![7400, 7480], of_peers: vec![7410] };
        let judge = Judge { endpoints, roots: Vec::new() };
        let is_local = |ip: IpAddr| ip.is_loopback() || ip.is_unspecified() || ip.to_string() == "10.0.0.7";
        judge.allows(&address.parse().expect("an address"), is_local)
    }

    #[test]
    fn the_nodes_own_ports_are_not_reached() {
        for refused in [
            "127.0.0.1:7400",
            "0.0.0.0:7400",
            "127.1.2.3:7480",
            "10.0.0.7:7400",
            "[::1]:7400",
            "[::]:7480",
            "[::ffff:127.0.0.1]:7400",
            "[::127.0.0.1]:7400",
            "10.0.0.9:7410",
            "203.0.113.1:7410",
        ] {
            assert!(!allows(refused), "{refused}");
        }
        for allowed in ["127.0.0.1:8000", "10.0.0.9:7400", "203.0.113.1:443", "[2001:db8::1]:443", "[::1]:80"] {
            assert!(allows(allowed), "{allowed}");
        }
    }

    #[test]
    fn metadata_services_are_not_reached_by_any_spelling() {
        for refused in [
            "169.254.169.254:80",
            "169.254.170.2:80",
            "169.254.1.1:443",
            "100.100.100.200:80",
            "168.63.129.16:32526",
            "192.0.0.192:80",
            "[::ffff:169.254.169.254]:80",
            "[::169.254.169.254]:80",
            "[64:ff9b::a9fe:a9fe]:80",
            "[2002:a9fe:a9fe::1]:80",
            "[fd00:ec2::254]:80",
            "[fd00:ec2::23]:80",
            "[fd20:ce::254]:80",
            "[fe80::a9fe:a9fe]:80",
        ] {
            assert!(!allows(refused), "{refused}");
        }
        // Where a cloud resolves names.
        assert!(allows("169.254.169.254:53") && allows("168.63.129.16:53"));
        assert!(allows("100.100.100.201:80") && allows("[fd00:ec3::254]:80") && allows("[fe80::1]:80"));
    }

    #[test]
    fn a_path_is_beneath_a_root_by_its_parts() {
        let judge = Judge { roots: vec!["/own".into(), "/scratch".into()], ..Judge::default() };
        let beneath = |path: &'static str| judge.beneath(Path::new(path));
        assert_eq!(beneath("/own/a/b"), Some((0, Path::new("a/b"))));
        assert_eq!(beneath("/scratch"), Some((1, Path::new(""))));
        // What is above the root in the end is found out when it is opened.
        assert_eq!(beneath("/own/../etc"), Some((0, Path::new("../etc"))));
        assert_eq!((beneath("/owner"), beneath("own"), beneath("/")), (None, None, None));
    }
}
