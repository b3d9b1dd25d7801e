//! `[environments.NAME]` and `[bundles]`: for programs that are sent to the node.

use std::path::{Path, PathBuf};

use dspex_actors::{BundleSettings, DEFAULT_ENVIRONMENT, NamedEnvironment};
use serde::Deserialize;

use super::units::Size;
use super::{Configuration, Problem};
use crate::workplace;

/// Longer ones do not fit the tables that show them.
const NAME_BYTES_MAX: usize = 64;

/// An environment besides that of `[python]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct EnvironmentSection {
    python: Option<PathBuf>,
}

/// How much room projects have that are sent to the node.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct BundlesSection {
    size_max: Option<Size>,
    cache_max: Option<Size>,
}

impl Configuration {
    /// All of them, that of `[python]` first.
    pub(crate) fn environments(&self) -> Result<Vec<NamedEnvironment>, Problem> {
        let default = NamedEnvironment { name: DEFAULT_ENVIRONMENT.to_owned(), interpreter: self.interpreter()? };
        let mut environments = vec![default];
        for name in self.environments.keys() {
            let interpreter = self.environment(name)?.to_owned();
            environments.push(NamedEnvironment { name: name.clone(), interpreter });
        }
        Ok(environments)
    }

    /// The interpreters of those that the file adds to that of `[python]`.
    pub(super) fn environment_pythons(&self) -> impl Iterator<Item = &Path> {
        self.environments.values().filter_map(|section| section.python.as_deref())
    }

    /// How much room sent projects have.
    pub(crate) fn bundles(&self) -> BundleSettings {
        let preset = BundleSettings::default();
        let BundlesSection { size_max, cache_max } = self.bundles;
        BundleSettings {
            size_max: size_max.map_or(preset.size_max, |Size(bytes)| bytes),
            cache_max: cache_max.map_or(preset.cache_max, |Size(bytes)| bytes),
        }
    }

    /// What is wrong with either.
    pub(super) fn problems_of_shipping(&self) -> Vec<Problem> {
        let environments = self.environments.keys().filter_map(|name| self.environment(name).err());
        let BundleSettings { size_max, cache_max } = self.bundles();
        let cramped = (cache_max < size_max).then(|| {
            self.problem("bundles.cache_max", "must not be less than bundles.size_max: no such project would fit")
        });
        environments.chain(cramped).collect()
    }

    fn environment(&self, name: &str) -> Result<&Path, Problem> {
        let section = format!("environments.{name}");
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if name.len() > NAME_BYTES_MAX || !name.bytes().all(is_plain) {
            return Err(self.problem(&section, "the name must have at most 64 letters, digits, `-` and `_`"));
        }
        if name == DEFAULT_ENVIRONMENT {
            return Err(self.problem(&section, "that of [python] has this name; give it another"));
        }
        let key = format!("{section}.python");
        let Some(python) = self.environments.get(name).and_then(|section| section.python.as_deref()) else {
            return Err(self.problem(&section, "python is not set: name an interpreter that has dspy"));
        };
        workplace::interpreter(python).map_err(|why| self.problem(&key, why))?;
        Ok(python)
    }
}
