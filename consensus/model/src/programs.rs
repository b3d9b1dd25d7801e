//! All programs, with an index by their names.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::record::{Key, Record};
use crate::{Digest, Name, Optimization, Program, ProgramId, ProgramInfo, ProgramKey, ProgramVersion, SessionId};

/// Kept in memory; the index, the weight and the counts of blobs are derived from the programs.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Programs {
    /// Of all versions and optimizations.
    weight: u64,
    held: BTreeMap<ProgramId, Program>,
    by_key: BTreeMap<ProgramKey, ProgramId>,
    /// How many versions name each blob.
    blobs: BTreeMap<Digest, u32>,
}

impl Programs {
    pub(crate) fn get(&self, id: ProgramId) -> Option<&Program> {
        self.held.get(&id)
    }

    pub(crate) fn id_of(&self, key: &ProgramKey) -> Option<ProgramId> {
        self.by_key.get(key).copied()
    }

    pub(crate) fn weight(&self) -> u64 {
        self.weight
    }

    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (ProgramId, &Program)> {
        self.held.iter().map(|(&id, program)| (id, program))
    }

    /// Those of one scope after `name`, in the order of their names.
    pub(crate) fn after(
        &self,
        session: Option<&SessionId>,
        name: Option<&Name>,
    ) -> impl Iterator<Item = (ProgramId, &Program)> {
        let key = |name: Name| ProgramKey { session: session.cloned(), name };
        let from = match name {
            Some(name) => Bound::Excluded(key(name.clone())),
            // The empty name stands before all others.
            None => Bound::Included(key(Name::stored(""))),
        };
        let session = session.cloned();
        let scope = self.by_key.range((from, Bound::Unbounded)).take_while(move |(key, _)| key.session == session);
        scope.filter_map(|(_, id)| Some((*id, self.held.get(id)?)))
    }

    /// Every blob that a version names, in the order of the digests.
    pub(crate) fn blobs(&self) -> impl Iterator<Item = Digest> {
        self.blobs.keys().copied()
    }

    pub(crate) fn names_blob(&self, digest: &Digest) -> bool {
        self.blobs.contains_key(digest)
    }

    /// How many versions name it.
    pub(crate) fn naming(&self, digest: &Digest) -> u32 {
        self.blobs.get(digest).copied().unwrap_or(0)
    }

    /// All records, in the order of their keys.
    pub(crate) fn records(&self) -> impl Iterator<Item = Record> {
        let infos = self.held.iter().map(|(&id, program)| Record::Program(id, Box::new(program.info.clone())));
        let versions = self.held.iter().flat_map(|(&id, program)| {
            program
                .versions()
                .map(move |(number, version)| Record::ProgramVersion(id, number, Box::new(version.clone())))
        });
        let optimizations = self.held.iter().flat_map(|(&id, program)| {
            let recorded = program.optimizations();
            recorded.map(move |(number, recorded)| Record::Optimization(id, number, Box::new(recorded.clone())))
        });
        infos.chain(versions).chain(optimizations)
    }

    /// The keys of all records of a program.
    pub(crate) fn keys(&self, id: ProgramId) -> Vec<Key> {
        let Some(program) = self.held.get(&id) else { return Vec::new() };
        let versions = program.versions().map(|(number, _)| Key::ProgramVersion(id, number));
        let optimizations = program.optimizations().map(|(number, _)| Key::Optimization(id, number));
        versions.chain(optimizations).chain([Key::Program(id)]).collect()
    }

    /// A program keeps its name for its life.
    pub(crate) fn set_info(&mut self, id: ProgramId, info: ProgramInfo) {
        self.by_key.insert(info.key.clone(), id);
        match self.held.get_mut(&id) {
            Some(program) => program.info = info,
            None => {
                self.held.insert(id, Program::new(info));
            }
        }
    }

    pub(crate) fn push_version(&mut self, id: ProgramId, version: ProgramVersion) {
        if let Some(program) = self.held.get_mut(&id) {
            self.weight += version.weight();
            if let Some(digest) = version.definition.blob() {
                *self.blobs.entry(digest).or_default() += 1;
            }
            program.push_version(version);
        }
    }

    pub(crate) fn forget_oldest_version(&mut self, id: ProgramId) {
        if let Some(version) = self.held.get_mut(&id).and_then(Program::forget_oldest_version) {
            self.weight -= version.weight();
            self.forget_blob(version.definition.blob());
        }
    }

    pub(crate) fn push_optimization(&mut self, id: ProgramId, number: u64, optimization: Optimization) {
        if let Some(program) = self.held.get_mut(&id) {
            self.weight += optimization.weight();
            program.push_optimization(number, optimization);
        }
    }

    pub(crate) fn forget_oldest_optimization(&mut self, id: ProgramId) {
        if let Some(optimization) = self.held.get_mut(&id).and_then(Program::forget_oldest_optimization) {
            self.weight -= optimization.weight();
        }
    }

    pub(crate) fn remove(&mut self, id: ProgramId) {
        let Some(program) = self.held.remove(&id) else { return };
        self.weight -= program.weight();
        self.by_key.remove(&program.info.key);
        program.blobs().for_each(|digest| self.forget_blob(Some(digest)));
    }

    fn forget_blob(&mut self, digest: Option<Digest>) {
        let Some(digest) = digest else { return };
        if let Some(count) = self.blobs.get_mut(&digest) {
            *count -= 1;
            if *count == 0 {
                self.blobs.remove(&digest);
            }
        }
    }
}
