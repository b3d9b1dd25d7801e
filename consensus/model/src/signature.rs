//! The signature of a program: names and types of what goes in and comes out.
//!
//! The same forms that DSPy's own signatures have, checked here as far as that goes without Python: when a program is
//! registered, and its inputs before it is executed. DSPy has the last word when the program is built.

mod annotation;
mod error;
mod fields;
mod inputs;
mod text;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use error::{InputsError, SignatureError};
pub use inputs::check_inputs;

/// Fields on one side.
pub const SIGNATURE_FIELDS_MAX: usize = 64;

/// Bytes of all names and types.
pub const SIGNATURE_BYTES_MAX: usize = 8 * 1024;

/// What a program takes and gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// What goes in.
    pub inputs: Vec<SignatureField>,
    /// What comes out.
    pub outputs: Vec<SignatureField>,
}

/// An input or output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignatureField {
    /// A Python name.
    pub name: String,
    /// A Python type as text; `None`: not written, text for DSPy, which then takes anything.
    pub annotation: Option<String>,
}

impl SignatureField {
    /// The type as DSPy reads it.
    pub fn type_name(&self) -> &str {
        self.annotation.as_deref().unwrap_or("str")
    }
}

/// Which names of types are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypeNames {
    /// Those that a signature of data can have: Python's own, those of `typing`, and dotted ones of modules.
    Known,
    /// Those of the program's own code, too.
    Any,
}

impl Signature {
    /// Reads "question, context: list[str] -> answer: float".
    ///
    /// # Errors
    /// What is wrong, with the field.
    pub fn of_text(text: &str, names: TypeNames) -> Result<Self, SignatureError> {
        text::read(text)?.checked(names)
    }

    /// Reads `{"inputs": [{"name": "question", "type": "str"}], "outputs": [...]}`. A `description` may stand beside.
    ///
    /// # Errors
    /// What is wrong, with the field.
    pub fn of_value(value: &serde_json::Value, names: TypeNames) -> Result<Self, SignatureError> {
        match value {
            serde_json::Value::String(text) => Self::of_text(text, names),
            other => fields::read(other)?.checked(names),
        }
    }

    /// Bytes of all names and types.
    pub fn bytes(&self) -> usize {
        let field = |field: &SignatureField| field.name.len() + field.annotation.as_ref().map_or(0, String::len);
        self.inputs.iter().chain(&self.outputs).map(field).sum()
    }

    /// As DSPy writes it.
    pub fn text(&self) -> String {
        let side = |fields: &[SignatureField]| {
            let written = fields.iter().map(|field| match &field.annotation {
                Some(annotation) => format!("{}: {annotation}", field.name),
                None => field.name.clone(),
            });
            written.collect::<Vec<_>>().join(", ")
        };
        format!("{} -> {}", side(&self.inputs), side(&self.outputs))
    }

    fn checked(self, names: TypeNames) -> Result<Self, SignatureError> {
        fields::check(&self, names)?;
        Ok(self)
    }
}
