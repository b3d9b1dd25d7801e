//! openraft's suite for storage, on the simulated disks.

use std::sync::Arc;

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::type_config::TypeConfigExt;
use tokio::time::Instant;
use tokio::{Executor, spawn, sync};

use crate::disk::Disk;
use crate::log::RaftLog;
use crate::machine::Machine;
use crate::observer::Observer;
use crate::settings::Settings;
use crate::traps::Traps;
use crate::types::Types;
use crate::wires::Wires;
use crate::world::World;

/// Makes empty disks.
struct Disks;

impl StoreBuilder<Types, RaftLog, Machine> for Disks {
    async fn build(&self) -> Result<((), RaftLog, Machine), StorageError<Types>> {
        let settings = Settings::draw(0);
        let disk = Disk::new(1, 0, &settings);
        let (caught, _) = sync::mpsc::unbounded_channel();
        let world = Arc::new(World {
            seed: 0,
            wires: Wires::new(0, &settings),
            settings,
            mutant: None,
            begun: Instant::now(),
            observer: Observer::new(false),
            traps: Traps::new(caught),
        });
        drop(spawn(disk.clone().flush_log()));
        let log = RaftLog::new(1, disk.clone(), Arc::clone(&world));
        let opened = Machine::open(1, disk, world);
        let (machine, _) = opened.map_err(|error| StorageError::read_state_machine(Types::err_from_error(&error)))?;
        Ok(((), log, machine))
    }
}

/// Runs openraft's suite for logs and state machines on the simulated ones.
///
/// # Errors
/// What the suite found.
pub fn check_storage() -> Result<(), String> {
    let tested = Executor::new(0).block_on(Suite::<Types, RaftLog, Machine, Disks, ()>::test_all(Disks));
    tested.map_err(|error| error.to_string())
}
