//! The services of `dspex.v1`, one file each: they translate between the contract and the rooms, and decide nothing.

mod admin;
mod blobs;
mod cluster;
mod drained;
mod environments;
mod errors;
mod executing;
mod executions;
mod json;
mod pages;
mod pools;
mod programs;
mod results;
mod runs;
mod serve;
mod sessions;
mod snapshots;
mod tokens;
mod translate;
mod variables;
mod watch;
mod workers;
mod write;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use dspex_actors::Tree;
use dspex_consensus::Consensus;
use dspex_python::Zygotes;
use dspex_storage::BlobStore;
use dspex_transport::Traffic;
use tokio::sync::Notify;

pub(crate) use admin::AdminService;
pub(crate) use blobs::BlobsService;
pub(crate) use cluster::ClusterService;
pub(crate) use environments::EnvironmentsService;
pub(crate) use executing::{Homes, Inference};
pub(crate) use executions::ExecutionsService;
pub(crate) use pools::PoolsService;
pub(crate) use programs::ProgramsService;
pub(crate) use runs::RunsService;
pub(crate) use sessions::SessionsService;
pub(crate) use variables::VariablesService;

use crate::activity::Activity;

/// Whether a node's workers are sandboxed, as its members show it; empty: they are its callers' own.
pub(crate) fn sandbox(is_embedded: bool, is_sandboxed: bool) -> &'static str {
    match (is_embedded, is_sandboxed) {
        (true, _) => "",
        (false, true) => "on",
        (false, false) => "off",
    }
}

/// What the services work with.
pub(crate) struct Node {
    pub(crate) home: PathBuf,
    pub(crate) started: Instant,
    pub(crate) tree: Tree,
    pub(crate) consensus: Consensus,
    pub(crate) blobs: BlobStore,
    pub(crate) zygotes: Zygotes,
    /// Of the connections to its peers; `None`: it has none.
    pub(crate) traffic: Option<Traffic>,
    pub(crate) activity: Activity,
    pub(crate) stop: Arc<Notify>,
    /// Each caller brings its own environment.
    pub(crate) is_embedded: bool,
}
