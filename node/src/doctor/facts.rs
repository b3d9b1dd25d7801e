//! Everything that is looked at, gathered once.

use std::path::PathBuf;

use dspex_cli::{DoctorCommand, Home};

use super::certificates::{self, CertificateFact};
use super::directory::{self, DirectoryFacts};
use super::machine::{self, MachineFacts};
use super::node::{self, NodeFacts};
use super::ports::{self, PortFact};
use super::python::{self, PythonFacts};
use super::sandbox::{self, SandboxFacts};
use super::settings::{self, SettingsFacts};
use crate::configuration::Configuration;

/// What there is to judge.
#[derive(Debug)]
pub(super) struct Facts {
    pub settings: SettingsFacts,
    pub python: PythonFacts,
    pub directories: Vec<DirectoryFacts>,
    pub machine: MachineFacts,
    pub sandbox: SandboxFacts,
    pub certificates: Vec<CertificateFact>,
    pub ports: Vec<PortFact>,
    pub node: NodeFacts,
}

impl Facts {
    pub(super) async fn gather(command: &DoctorCommand) -> Self {
        let (file, flag) = (command.arguments.config.as_deref(), command.arguments.python.as_deref());
        let home = Home::of_this_process().map(|home| home.path().to_owned()).map_err(|error| error.to_string());
        let (settings, configuration) = settings::gather(file, home.as_deref().ok());
        // With a file it is about that node; without one about the embedded one, which has no ports.
        let of_file = configuration.as_ref().filter(|_| file.is_some());
        let node = node::gather(command, file.is_some(), of_file).await;
        Self {
            settings,
            python: python::gather(flag, file.is_some(), of_file).await,
            directories: directories(home, of_file),
            machine: machine::gather(configuration.as_ref().is_some_and(Configuration::limits_memory)),
            sandbox: sandbox::gather(of_file),
            certificates: of_file.map(certificates::gather).unwrap_or_default(),
            ports: of_file.filter(|_| node.is_absent()).map(ports::gather).unwrap_or_default(),
            node,
        }
    }
}

/// The home, where also a node on TCP leaves its token for commands, and the node's own directory.
fn directories(home: Result<PathBuf, String>, of_file: Option<&Configuration>) -> Vec<DirectoryFacts> {
    let home = home.map_or_else(directory::unknown, |home| directory::gather(directory::HOME, &home));
    let data = of_file.map(|configuration| directory::gather(directory::DATA, &configuration.data_dir));
    std::iter::once(home).chain(data).collect()
}
