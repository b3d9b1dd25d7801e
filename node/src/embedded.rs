//! The embedded node: one background process for each home directory.

use std::path::Path;
use std::time::Duration;

use dspex_actors::BundleSettings;
use dspex_model::NodeInfo;

use crate::configuration::{self, Configuration};
use crate::life::{self, Setup};
use crate::server::Listeners;
use crate::start_error::Failure;

/// Without calls and runs for so long, the node ends.
const IDLE_MAX: Duration = Duration::from_secs(600);

/// Runs the node until it is told to stop or nobody has needed it for a while. Gives the exit code.
pub(crate) fn run(home: &Path) -> i32 {
    life::run(home, || {
        let configuration = Configuration::of_home(home).map_err(Failure::configuration)?;
        if let Some(problem) = configuration::wrong_paths(&configuration).first() {
            return Err(Failure::configuration(problem));
        }
        Ok(Setup {
            home: home.to_path_buf(),
            listeners: Listeners::Socket(home.join("node.sock")),
            pools: configuration.pools(life::cpus(), None),
            runs: configuration.run_limits(),
            environments: Vec::new(),
            bundles: BundleSettings::default(),
            // Its workers are its callers' own.
            sandbox: None,
            is_embedded: true,
            idle_max: Some(IDLE_MAX),
            peers: None,
            info: NodeInfo::default(),
        })
    })
}
