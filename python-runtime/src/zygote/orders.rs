//! Writes orders to a zygote's control socket, with file descriptors where an order carries some.

use std::io;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use bytes::Bytes;
use rustix::cmsg_space;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::mpsc;

/// A fork carries the worker's socket and its output pipe.
const DESCRIPTORS: usize = 2;

/// A frame for a zygote.
#[derive(Debug)]
pub(crate) struct Order {
    frame: Bytes,
    descriptors: Option<[OwnedFd; DESCRIPTORS]>,
}

impl Order {
    /// An order without descriptors.
    pub fn plain(frame: Bytes) -> Self {
        Self { frame, descriptors: None }
    }

    /// A fork: the worker's ends of its socket and of its output pipe. They are closed here once they are sent.
    pub fn fork(frame: Bytes, socket: OwnedFd, output: OwnedFd) -> Self {
        Self { frame, descriptors: Some([socket, output]) }
    }
}

/// Writes orders until nobody can give any more; closing the socket then stops the zygote.
pub(super) async fn write_orders(socket: OwnedWriteHalf, mut orders: mpsc::Receiver<Order>) {
    while let Some(order) = orders.recv().await {
        if let Err(error) = write(socket.as_ref(), &order).await {
            // The reader sees the end of the same socket and says what it means.
            tracing::debug!(%error, "a zygote's control socket is closed");
            return;
        }
    }
}

async fn write(socket: &UnixStream, order: &Order) -> io::Result<()> {
    let borrowed: Vec<BorrowedFd<'_>> = order.descriptors.iter().flatten().map(AsFd::as_fd).collect();
    let mut rest: &[u8] = &order.frame;
    while !rest.is_empty() {
        socket.writable().await?;
        // The descriptors travel with the first byte, and only with it.
        let first = rest.len() == order.frame.len();
        let sent = socket.try_io(Interest::WRITABLE, || send(socket, rest, if first { &borrowed } else { &[] }));
        match sent {
            Ok(count) => rest = &rest[count..],
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn send(socket: &UnixStream, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other("too many descriptors for one message"));
    }
    Ok(sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?)
}
