//! `dspex snapshot`: the arguments. A node saves; files are read, and directories made, where the data is known: the program
//! hands that there.

pub mod save;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::error::CommandError;
use crate::freshness::Freshness;
use crate::invocation::Invocation;
use crate::output::Format;

/// The arguments of `dspex snapshot`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  dspex --address 127.0.0.1:7400 snapshot save backup.snapshot      any node, an admin's token\n  dspex snapshot inspect backup.snapshot                            verifies every byte; no node is needed\n  dspex snapshot restore backup.snapshot --config node-1/dspex.toml\n  dspex node --config node-1/dspex.toml                             a cluster of one; others join it with `dspex member add`\n\nA snapshot holds everything that was acknowledged before the command: sessions, programs and variables\nwith their history, runs with their datasets and results, tokens (as digests), the audit trail. Who has the file has all of that: it is made with mode 0600."
)]
pub struct SnapshotArguments {
    /// What to do.
    #[command(subcommand)]
    pub verb: SnapshotVerb,
}

/// What `dspex snapshot` does.
#[derive(Debug, Clone, Subcommand)]
pub enum SnapshotVerb {
    /// Save the state of the cluster, with all datasets and results, to a new file
    Save {
        /// Appears when it is complete and synced
        file: PathBuf,
        /// How fresh it must be: stale saves what the node that is asked has, without a quorum
        #[arg(long, value_enum, default_value_t = Freshness::Linearizable)]
        read: Freshness,
    },
    /// Show what a snapshot holds, and verify it to its last byte
    Inspect {
        /// What `snapshot save` has written
        file: PathBuf,
    },
    /// Make a new cluster of one node of a snapshot, in an empty data directory
    Restore(RestoreArguments),
}

/// Where a snapshot is restored to.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  dspex snapshot restore backup.snapshot --config dspex.toml\n  dspex snapshot restore backup.snapshot --data-dir /var/lib/dspex --advertise node-1.example:7410\n\nThe cluster and the node get new ids: nodes of the old cluster can neither join it nor disturb it. Runs that were running are\ninterrupted (`dspex run resume`), the members are forgotten, tokens and sessions stay."
)]
pub struct RestoreArguments {
    /// What `snapshot save` has written
    pub file: PathBuf,
    /// The settings of the node that is to have it: data_dir, and the address of [peers]
    #[arg(long, value_name = "FILE", required_unless_present = "data_dir")]
    pub config: Option<PathBuf>,
    /// The data directory itself, empty or not there yet
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    pub data_dir: Option<PathBuf>,
    /// Where peers will reach the node; without it the node stays alone
    #[arg(long, value_name = "HOST:PORT", requires = "data_dir")]
    pub advertise: Option<String>,
}

/// What the program does with a snapshot by itself.
#[derive(Debug, Clone)]
pub enum SnapshotWork {
    /// `inspect`.
    Inspect(PathBuf),
    /// `restore`.
    Restore(RestoreArguments),
}

/// What the program is to do, and how it tells.
#[derive(Debug, Clone)]
pub struct SnapshotCommand {
    /// What.
    pub work: SnapshotWork,
    /// `-o`.
    pub format: Format,
    /// `-q`.
    pub quiet: bool,
}

impl SnapshotArguments {
    /// What is not a client's work.
    pub(crate) fn work(&self) -> Option<SnapshotWork> {
        match &self.verb {
            SnapshotVerb::Save { .. } => None,
            SnapshotVerb::Inspect { file } => Some(SnapshotWork::Inspect(file.clone())),
            SnapshotVerb::Restore(arguments) => Some(SnapshotWork::Restore(arguments.clone())),
        }
    }
}

/// Does what is a client's work.
pub async fn execute(invocation: &Invocation, arguments: SnapshotArguments) -> Result<u8, CommandError> {
    match arguments.verb {
        SnapshotVerb::Save { file, read } => save::execute(invocation, &file, read).await,
        SnapshotVerb::Inspect { .. } | SnapshotVerb::Restore(_) => {
            Err(CommandError::usage("this is not done from here"))
        }
    }
}
