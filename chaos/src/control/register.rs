//! A session as one client alone would see it: the plain rules, with nothing concurrent about them.

use crate::{Action, Outcome};

/// Version and data, where there is a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Register(Option<(u64, String)>);

impl Register {
    /// Does what is asked, and answers.
    pub fn apply(&mut self, action: &Action) -> Outcome {
        let (expected, current) = match (action, &self.0) {
            (Action::Get, None) => return Outcome::Missing,
            (Action::Get, Some((version, value))) => {
                return Outcome::Found { version: *version, value: value.clone() };
            }
            (Action::Create { value }, None) => return self.write(1, value),
            (Action::Create { .. }, Some((version, _))) => return Outcome::Exists { version: *version },
            (Action::Update { .. } | Action::Delete { .. }, None) => return Outcome::Missing,
            (Action::Update { expected_version, .. } | Action::Delete { expected_version }, Some((version, _))) => {
                (*expected_version, *version)
            }
        };
        if expected.is_some_and(|expected| expected != current) {
            return Outcome::VersionConflict { current };
        }
        if let Action::Update { value, .. } = action {
            return self.write(current + 1, value);
        }
        self.0 = None;
        Outcome::Deleted
    }

    fn write(&mut self, version: u64, value: &str) -> Outcome {
        self.0 = Some((version, value.to_owned()));
        Outcome::Written { version }
    }
}
