//! RocksDB settings that the three databases share.

use std::io;
use std::path::Path;

use rocksdb::{DB, DBRecoveryMode, LogLevel};

use crate::error::from_rocksdb;

pub(crate) const MIB: usize = 1024 * 1024;

/// Whether a database may be made. An existing directory whose database is gone must not come up empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Creation {
    /// The directory is new.
    Allowed,
    /// The directory holds data: a missing database is damage.
    Refused,
}

/// Options of a small database: few files, little memory, a short text log.
pub(crate) fn options(memtable_bytes: usize, recovery: DBRecoveryMode) -> rocksdb::Options {
    let mut options = rocksdb::Options::default();
    options.set_write_buffer_size(memtable_bytes);
    options.set_max_write_buffer_number(4);
    options.set_max_background_jobs(2);
    options.set_max_open_files(256);
    options.set_keep_log_file_num(2);
    options.set_max_log_file_size(MIB);
    options.set_log_level(LogLevel::Warn);
    options.set_wal_recovery_mode(recovery);
    // Nobody writes beside another here, and a memtable with one writer remembers where it inserted last: entries of a log come in order.
    options.set_allow_concurrent_memtable_write(false);
    options
}

/// `.cargo/config.toml` has RocksDB compiled for them. A virtual machine may hide what its host's CPU can do.
#[cfg(target_arch = "x86_64")]
fn check_cpu() -> io::Result<()> {
    if is_x86_feature_detected!("sse4.2") && is_x86_feature_detected!("pclmulqdq") {
        return Ok(());
    }
    let message = "this CPU has no SSE4.2 or no PCLMULQDQ, which the database needs; every x86-64 CPU since 2010 has both: give a \
                   virtual machine the CPU type of its host, or x86-64-v2-AES";
    Err(io::Error::new(io::ErrorKind::Unsupported, message))
}

#[cfg(not(target_arch = "x86_64"))]
fn check_cpu() -> io::Result<()> {
    Ok(())
}

/// Opens a database.
pub(crate) fn open(path: &Path, mut options: rocksdb::Options, creation: Creation) -> io::Result<DB> {
    check_cpu()?;
    options.create_if_missing(creation == Creation::Allowed);
    if creation == Creation::Refused && !path.join("CURRENT").exists() {
        return Err(crate::error::corrupt("the database is missing"));
    }
    DB::open(&options, path).map_err(from_rocksdb)
}
