//! All variables of the cluster.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::record::{Key, Record};
use crate::{Name, Variable, VariableInfo, VariableVersion};

/// Kept in memory; the weight is derived from the variables.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Variables {
    /// Of all kept versions.
    weight: u64,
    held: BTreeMap<Name, Variable>,
}

impl Variables {
    pub(crate) fn get(&self, name: &Name) -> Option<&Variable> {
        self.held.get(name)
    }

    pub(crate) fn weight(&self) -> u64 {
        self.weight
    }

    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }

    /// Those after `name`, in the order of their names.
    pub(crate) fn after(&self, name: Option<&Name>) -> impl Iterator<Item = (&Name, &Variable)> {
        let from = name.map_or(Bound::Unbounded, Bound::Excluded);
        self.held.range::<Name, _>((from, Bound::Unbounded))
    }

    /// All records, in the order of their keys.
    pub(crate) fn records(&self) -> impl Iterator<Item = Record> {
        let infos = self.held.iter().map(|(name, variable)| Record::Variable(name.clone(), variable.info));
        let versions = self.held.iter().flat_map(|(name, variable)| {
            variable.versions().map(|(number, version)| Record::VariableVersion(name.clone(), number, version.clone()))
        });
        infos.chain(versions)
    }

    /// The keys of all records of a variable.
    pub(crate) fn keys(&self, name: &Name) -> Vec<Key> {
        let Some(variable) = self.held.get(name) else { return Vec::new() };
        let versions = variable.versions().map(|(number, _)| Key::VariableVersion(name.clone(), number));
        versions.chain([Key::Variable(name.clone())]).collect()
    }

    pub(crate) fn set_info(&mut self, name: Name, info: VariableInfo) {
        match self.held.get_mut(&name) {
            Some(variable) => variable.info = info,
            None => {
                self.held.insert(name, Variable::new(info));
            }
        }
    }

    pub(crate) fn push_version(&mut self, name: &Name, version: VariableVersion) {
        if let Some(variable) = self.held.get_mut(name) {
            self.weight += version.weight();
            variable.push(version);
        }
    }

    pub(crate) fn forget_oldest_version(&mut self, name: &Name) {
        if let Some(variable) = self.held.get_mut(name) {
            self.weight -= variable.forget_oldest();
        }
    }

    pub(crate) fn remove(&mut self, name: &Name) {
        if let Some(variable) = self.held.remove(name) {
            self.weight -= variable.weight();
        }
    }
}
