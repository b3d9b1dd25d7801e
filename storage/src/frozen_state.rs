//! A consistent view of the state for a snapshot, read while applying goes on.
//!
//! RocksDB's snapshot borrows the database, so a thread of its own holds both until the view is written or dropped.

use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use rocksdb::{DB, Direction, IteratorMode};

use crate::error::from_rocksdb;
use crate::snapshot_file::{SnapshotHeader, SnapshotWriter};
use crate::state_store::{APPLIED, DATA_PREFIX, MEMBERSHIP};

struct Order {
    path: PathBuf,
    reply: SyncSender<io::Result<SnapshotHeader>>,
}

/// The state as it was when it was frozen. Dropping it frees the view.
#[derive(Debug)]
pub struct FrozenState {
    orders: SyncSender<Order>,
}

impl FrozenState {
    pub(crate) fn start(db: Arc<DB>) -> io::Result<Self> {
        let (orders, receiver) = sync_channel(1);
        let (ready, frozen) = sync_channel(1);
        std::thread::Builder::new().name("dspex-freeze".to_owned()).spawn(move || hold(&db, &ready, &receiver))?;
        frozen.recv().map_err(|_| io::Error::other("the state could not be frozen"))?;
        Ok(Self { orders })
    }

    /// Writes the frozen state to a new file, synced. Takes as long as the state is large.
    ///
    /// # Errors
    /// When the state cannot be read or the file cannot be written.
    pub fn write_to(self, path: &Path) -> io::Result<SnapshotHeader> {
        let (reply, answer) = sync_channel(1);
        let gone = || io::Error::other("the frozen state is gone");
        self.orders.send(Order { path: path.to_path_buf(), reply }).map_err(|_| gone())?;
        answer.recv().map_err(|_| gone())?
    }
}

fn hold(db: &DB, ready: &SyncSender<()>, orders: &Receiver<Order>) {
    let view = db.snapshot();
    if ready.send(()).is_err() {
        return;
    }
    // One order, or none when the holder is dropped.
    if let Ok(order) = orders.recv() {
        let _ = order.reply.send(write(&view, &order.path));
    }
}

fn write(view: &rocksdb::Snapshot<'_>, path: &Path) -> io::Result<SnapshotHeader> {
    let header = SnapshotHeader {
        applied: view.get(APPLIED).map_err(from_rocksdb)?,
        membership: view.get(MEMBERSHIP).map_err(from_rocksdb)?,
    };
    let mut writer = SnapshotWriter::create(path, &header)?;
    for item in view.iterator(IteratorMode::From(&[DATA_PREFIX], Direction::Forward)) {
        let (key, value) = item.map_err(from_rocksdb)?;
        match key.split_first() {
            Some((&DATA_PREFIX, key)) => writer.write(key, &value)?,
            _ => break,
        }
    }
    writer.finish()?;
    Ok(header)
}
