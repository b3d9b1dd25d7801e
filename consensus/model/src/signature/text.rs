//! "question, context: list[str] -> answer: float": fields between commas, on both sides of one arrow.

use super::{Signature, SignatureError, SignatureField};
use crate::echo::quoted;

pub(super) fn read(text: &str) -> Result<Signature, SignatureError> {
    match text.split("->").collect::<Vec<_>>()[..] {
        [inputs, outputs] => Ok(Signature { inputs: side(inputs)?, outputs: side(outputs)? }),
        ref parts => Err(SignatureError::new(format!(
            "a signature has one arrow, as \"question -> answer\"; this one has {}",
            parts.len() - 1
        ))),
    }
}

fn side(text: &str) -> Result<Vec<SignatureField>, SignatureError> {
    let mut parts = fields(text);
    // Python lets a comma end the list, and nothing at all is told better by counting.
    if parts.last().is_some_and(|last| last.trim().is_empty()) {
        parts.pop();
    }
    parts.into_iter().map(field).collect()
}

fn field(text: &str) -> Result<SignatureField, SignatureError> {
    let (name, annotation) = match text.split_once(':') {
        Some((name, annotation)) => (name.trim(), Some(annotation.trim())),
        None => (text.trim(), None),
    };
    match annotation {
        _ if name.is_empty() => {
            Err(SignatureError::new(format!("{} has no name before its type", quoted(text.trim()))))
        }
        Some("") => Err(SignatureError::of_field(name, "no type stands behind its colon")),
        annotation => Ok(SignatureField { name: name.to_owned(), annotation: annotation.map(str::to_owned) }),
    }
}

/// Splits at the commas that are in no brackets and in no quotes.
fn fields(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth, mut quote) = (Vec::new(), 0, 0_usize, None);
    for (place, character) in text.char_indices() {
        match (quote, character) {
            (Some(open), _) if character == open => quote = None,
            (None, '"' | '\'') => quote = Some(character),
            (None, '[' | '(') => depth += 1,
            (None, ']' | ')') => depth = depth.saturating_sub(1),
            (None, ',') if depth == 0 => {
                parts.push(&text[start..place]);
                start = place + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}
