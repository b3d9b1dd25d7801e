//! Connections.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use rustix::fs::{Mode, OFlags, ResolveFlags, fcntl_getfl, fcntl_setfl, openat2};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, socket_error, socket_timeout, socket_type};
use rustix::net::{SocketAddrUnix, SocketType, connect_unspec};
use tokio::io::Interest;

use super::caller::Caller;
use super::{Done, Supervised};
use crate::judge::Address;
use crate::system::{self, Answer, Notification};

/// `struct sockaddr_storage`
const ADDRESS_MAX: u64 = 128;
/// Longer than the kernel tries.
const CONNECT_MAX: Duration = Duration::from_secs(150);

const DONE: Done = Done::Now(Answer::Value(0));

/// A connection of a blocking socket that is on its way.
pub(super) struct Connecting {
    socket: OwnedFd,
    flags: OFlags,
}

/// connect(2): the worker's socket is connected here, to the address that was judged.
pub(super) fn connect(supervised: &Supervised, caller: &Caller, notification: &Notification) -> Result<Done, Errno> {
    let [descriptor, address, length, ..] = notification.arguments;
    let address = read(caller, address, length)?;
    let socket = caller.descriptor(descriptor)?;
    match address {
        Address::Nothing => connect_unspec(&socket).map(|()| DONE),
        Address::Abstract => Err(Errno::ACCESS),
        Address::Path(path) => {
            let path = if path.is_absolute() { path } else { caller.directory(CURRENT_DIRECTORY)?.join(path) };
            let (root, rest) = supervised.judge.beneath(&path).ok_or(Errno::ACCESS)?;
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            let place = openat2(&supervised.roots[root], rest, flags, Mode::empty(), resolve).map_err(outside)?;
            // The very file that was found, whatever its name leads to by now.
            let opened = SocketAddrUnix::new(format!("/proc/self/fd/{}", place.as_raw_fd()))?;
            begin(socket, |socket| rustix::net::connect(socket, &opened))
        }
        Address::Internet(address) => {
            if !supervised.judge.allows(&address, is_local) {
                return Err(Errno::ACCESS);
            }
            begin(socket, |socket| rustix::net::connect(socket, &address))
        }
    }
}

/// `AT_FDCWD`, as an argument.
const CURRENT_DIRECTORY: u64 = -100_i64 as u64;

/// A root's end is a wall, not an error of its own.
pub(super) fn outside(error: Errno) -> Errno {
    if error == Errno::XDEV { Errno::ACCESS } else { error }
}

/// Connects. A socket that waits is told not to, so that no thread of the node waits for it.
fn begin(socket: OwnedFd, connect: impl Fn(&OwnedFd) -> Result<(), Errno>) -> Result<Done, Errno> {
    let flags = fcntl_getfl(&socket)?;
    if flags.contains(OFlags::NONBLOCK) || socket_type(&socket)? == SocketType::DGRAM {
        return connect(&socket).map(|()| DONE);
    }
    fcntl_setfl(&socket, flags | OFlags::NONBLOCK)?;
    let connected = connect(&socket);
    if connected == Err(Errno::INPROGRESS) {
        return Ok(Done::Later(Connecting { socket, flags }));
    }
    fcntl_setfl(&socket, flags)?;
    connected.map(|()| DONE)
}

impl Connecting {
    /// Waits as the worker would have waited.
    pub(super) async fn finish(self) -> Answer {
        let limit = socket_timeout(&self.socket, Timeout::Send).ok().flatten().unwrap_or(CONNECT_MAX);
        let Self { socket, flags } = self;
        let connected = match system::awaited(socket, Interest::WRITABLE) {
            Ok(socket) => {
                let connected = match tokio::time::timeout(limit, socket.writable()).await {
                    Ok(Ok(_)) => socket_error(socket.get_ref()).and_then(|outcome| outcome),
                    Ok(Err(_)) => Err(Errno::IO),
                    Err(_) => Err(Errno::INPROGRESS),
                };
                connected.and(fcntl_setfl(socket.get_ref(), flags))
            }
            Err(_) => Err(Errno::NFILE),
        };
        connected.map_or_else(|errno| Answer::Error(errno.raw_os_error()), |()| Answer::Value(0))
    }
}

fn read(caller: &Caller, address: u64, length: u64) -> Result<Address, Errno> {
    let length = length & u64::from(u32::MAX);
    if length > ADDRESS_MAX {
        return Err(Errno::INVAL);
    }
    let bytes = caller.bytes(address, usize::try_from(length).map_err(|_| Errno::INVAL)?)?;
    Address::parse(&bytes).map_err(Errno::from_raw_os_error)
}

/// Whether an address is one of this machine: only then a socket can have it. Where that cannot be said it counts as one.
fn is_local(ip: IpAddr) -> bool {
    if ip.is_loopback() || ip.is_unspecified() {
        return true;
    }
    match UdpSocket::bind(SocketAddr::new(ip, 0)) {
        Ok(_) => true,
        Err(error) => !matches!(
            error.raw_os_error().map(Errno::from_raw_os_error),
            // No such address here; no such family here; a link's address without its link.
            Some(Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT | Errno::INVAL)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_of_this_machine_are_known() {
        for (address, expected) in
            [("127.0.0.1", true), ("127.9.9.9", true), ("0.0.0.0", true), ("::1", true), ("203.0.113.1", false)]
        {
            assert_eq!(is_local(address.parse().expect("an address")), expected, "{address}");
        }
    }
}
