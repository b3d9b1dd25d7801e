//! The digest of a finished run: equal wherever and however often the same work was done.

use std::fmt::Write as _;

use crate::{Digest, ExampleResult};

/// sha256 over canonical JSON: the dataset's digest, and for each example in order its position, the bits of its score, the
/// digest of its prediction's canonical JSON (fields sorted) and its failure's class. No usage, times, tracebacks or ids.
pub fn run_digest<'a>(dataset: Digest, results: impl Iterator<Item = &'a ExampleResult>) -> Digest {
    let mut json = format!("{{\"dataset\":\"{dataset}\",\"examples\":[");
    for (index, result) in results.enumerate() {
        if index > 0 {
            json.push(',');
        }
        push_example(&mut json, index, result);
    }
    json.push_str("],\"version\":1}");
    Digest::of(json.as_bytes())
}

fn push_example(json: &mut String, index: usize, result: &ExampleResult) {
    let bits = result.score.value.to_bits();
    // Writing to a String cannot fail.
    let _ = write!(json, "[{index},\"{bits:016x}\",");
    match result.canonical.or(result.prediction) {
        Some(prediction) => {
            let _ = write!(json, "\"{prediction}\",");
        }
        None => json.push_str("null,"),
    }
    match &result.failure {
        Some(failure) => push_string(json, &failure.class),
        None => json.push_str("null"),
    }
    json.push(']');
}

/// A JSON string; exception classes are identifiers, so that only the rare odd character needs escaping.
fn push_string(json: &mut String, text: &str) {
    json.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => {
                json.push('\\');
                json.push(character);
            }
            c if c < ' ' => {
                let _ = write!(json, "\\u{:04x}", c as u32);
            }
            c => json.push(c),
        }
    }
    json.push('"');
}
