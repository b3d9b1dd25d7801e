//! What is wrong with a signature or with what a program is called with.

use crate::echo::quoted;

/// Why a text or a value is no signature. The message names the field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SignatureError(String);

impl SignatureError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    pub(super) fn of_field(name: &str, why: impl std::fmt::Display) -> Self {
        Self(format!("the field {}: {why}", quoted(name)))
    }
}

/// Why a program cannot be called with these inputs. The message names each field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InputsError(pub(super) String);
