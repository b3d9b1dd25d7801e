//! What the state says of programs and variables.

use super::State;
use crate::record::Key;
use crate::{Digest, Name, Program, ProgramId, ProgramKey, SessionId, Variable};

impl State {
    /// The program of this name there. One of a session is seen as long as the session is.
    pub fn program(&self, key: &ProgramKey) -> Option<(ProgramId, &Program)> {
        self.visible(self.programs.id_of(key)?)
    }

    /// The session's own program of this name, else the one of all.
    pub fn program_for(&self, session: Option<&SessionId>, name: &Name) -> Option<(ProgramId, &Program)> {
        let own = ProgramKey { session: session.cloned(), name: name.clone() };
        let found = self.program(&own);
        if found.is_some() || session.is_none() {
            return found;
        }
        self.program(&ProgramKey { session: None, ..own })
    }

    /// The program with this id.
    pub fn program_by_id(&self, id: ProgramId) -> Option<&Program> {
        self.visible(id).map(|(_, program)| program)
    }

    /// The programs of a session, or those of all, after this name, in the order of their names.
    pub fn programs_after(
        &self,
        session: Option<&SessionId>,
        name: Option<&Name>,
    ) -> impl Iterator<Item = (ProgramId, &Program)> {
        let scope_is_seen = session.is_none_or(|session| self.session(session).is_some());
        self.programs.after(session, name).filter(move |_| scope_is_seen)
    }

    /// All programs that are seen, in the order of their ids.
    pub fn programs(&self) -> impl Iterator<Item = (ProgramId, &Program)> {
        self.programs.iter().filter_map(|(id, _)| self.visible(id))
    }

    /// How many programs are held, those of all sessions included.
    pub fn programs_held(&self) -> usize {
        self.programs.len()
    }

    /// Every blob that a version of a program names, in the order of the digests.
    pub fn program_blobs(&self) -> impl Iterator<Item = Digest> {
        self.programs.blobs()
    }

    /// Whether a version of a program names this blob.
    pub fn program_names_blob(&self, digest: &Digest) -> bool {
        self.programs.names_blob(digest)
    }

    /// A variable.
    pub fn variable(&self, name: &Name) -> Option<&Variable> {
        self.variables.get(name)
    }

    /// Variables after this name, in the order of their names.
    pub fn variables_after(&self, name: Option<&Name>) -> impl Iterator<Item = (&Name, &Variable)> {
        self.variables.after(name)
    }

    /// How many variables are held.
    pub fn variables_held(&self) -> usize {
        self.variables.len()
    }

    pub(crate) fn holds_program(&self, id: ProgramId) -> bool {
        self.programs.get(id).is_some()
    }

    /// The programs of a session, whether or not its time is over.
    pub(crate) fn held_programs(&self, session: &SessionId) -> impl Iterator<Item = (ProgramId, &Program)> {
        self.programs.after(Some(session), None)
    }

    pub(crate) fn held_program(&self, id: ProgramId) -> Option<&Program> {
        self.programs.get(id)
    }

    /// How many versions of programs name a blob.
    pub(crate) fn programs_naming(&self, digest: &Digest) -> u32 {
        self.programs.naming(digest)
    }

    pub(crate) fn program_keys(&self, id: ProgramId) -> Vec<Key> {
        self.programs.keys(id)
    }

    pub(crate) fn programs_weight(&self) -> u64 {
        self.programs.weight()
    }

    pub(crate) fn variables_weight(&self) -> u64 {
        self.variables.weight()
    }

    pub(crate) fn variable_keys(&self, name: &Name) -> Vec<Key> {
        self.variables.keys(name)
    }

    fn visible(&self, id: ProgramId) -> Option<(ProgramId, &Program)> {
        let program = self.programs.get(id)?;
        let seen = program.info.key.session.as_ref().is_none_or(|session| self.session(session).is_some());
        seen.then_some((id, program))
    }
}
