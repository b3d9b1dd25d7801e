//! openraft's own conformance suite on the real stores. It proves the contract of the calls, not durability.

use dspex_storage::{DataDirectory, Options};
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};

use crate::log::RaftLog;
use crate::machine::Machine;
use crate::types::Types;

struct Stores;

/// Dropped after the stores: the directory goes last.
struct Guard {
    _directory: tempfile::TempDir,
}

impl StoreBuilder<Types, RaftLog, Machine, Guard> for Stores {
    async fn build(&self) -> Result<(Guard, RaftLog, Machine), StorageError<Types>> {
        let directory = tempfile::tempdir().expect("a directory");
        let data = DataDirectory::open(directory.path(), &Options::embedded()).expect("the directory opens");
        let (machine, _view) = Machine::open(&data, 1).expect("the state opens");
        let log = RaftLog::new(data.log().clone(), data.state().clone());
        Ok((Guard { _directory: directory }, log, machine))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stores_pass_openrafts_suite() {
    Suite::test_all(Stores).await.expect("the suite passes");
}
