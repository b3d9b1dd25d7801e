//! The fields of a signature: read from their structured form, and checked whatever form they came in.

use std::collections::BTreeSet;

use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::CodePointSetData;
use icu_properties::props::{XidContinue, XidStart};
use serde_json::{Map, Value};

use super::annotation::Annotation;
use super::{SIGNATURE_BYTES_MAX, SIGNATURE_FIELDS_MAX, Signature, SignatureError, SignatureField, TypeNames};
use crate::echo::quoted;

const FORM: &str =
    r#"a signature is "question -> answer", or {"inputs": [{"name": "question", "type": "str"}], "outputs": [...]}"#;

/// Python's own words.
const KEYWORDS: &[&str] = &[
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del",
    "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal",
    "not", "or", "pass", "raise", "return", "try", "while", "with", "yield",
];

/// What DSPy's signatures are made of: a field of this name would break them.
const TAKEN: &[&str] = &["fields", "input_fields", "instructions", "output_fields", "signature"];

/// The structured form.
pub(super) fn read(value: &Value) -> Result<Signature, SignatureError> {
    let Value::Object(sides) = value else { return Err(SignatureError::new(FORM)) };
    let known = ["inputs", "outputs"];
    if let Some(other) = sides.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(SignatureError::new(format!("a signature has no {}; {FORM}", quoted(other))));
    }
    let [inputs, outputs] = known.map(|side| read_side(sides, side));
    Ok(Signature { inputs: inputs?, outputs: outputs? })
}

fn read_side(sides: &Map<String, Value>, side: &str) -> Result<Vec<SignatureField>, SignatureError> {
    match sides.get(side) {
        Some(Value::Array(fields)) => {
            fields.iter().zip(1..).map(|(field, place)| read_field(field, side, place)).collect()
        }
        Some(_) => Err(SignatureError::new(format!("{side:?} is a list of fields; {FORM}"))),
        None => Ok(Vec::new()),
    }
}

fn read_field(value: &Value, side: &str, place: usize) -> Result<SignatureField, SignatureError> {
    let nameless = || SignatureError::new(format!("field {place} of {side:?} has no name; {FORM}"));
    let Value::Object(field) = value else { return Err(nameless()) };
    let Some(Value::String(name)) = field.get("name") else { return Err(nameless()) };
    for (key, value) in field {
        if !["name", "type", "description"].contains(&key.as_str()) {
            return Err(SignatureError::of_field(
                name,
                format!("it has no {}; it has name, type and description", quoted(key)),
            ));
        }
        if !value.is_string() {
            return Err(SignatureError::of_field(name, format!("its {key} is a text")));
        }
    }
    let annotation = field.get("type").and_then(Value::as_str).unwrap_or("str").to_owned();
    Ok(SignatureField { name: name.clone(), annotation: Some(annotation) })
}

/// Whatever form it came in.
pub(super) fn check(signature: &Signature, names: TypeNames) -> Result<(), SignatureError> {
    for (side, fields) in [("input", &signature.inputs), ("output", &signature.outputs)] {
        match fields.len() {
            0 => return Err(SignatureError::new(format!("a signature has at least one {side}; {FORM}"))),
            1..=SIGNATURE_FIELDS_MAX => {}
            many => {
                let message = format!("the signature has {many} {side}s, the limit is {SIGNATURE_FIELDS_MAX}");
                return Err(SignatureError::new(message));
            }
        }
    }
    let bytes = signature.bytes();
    if bytes > SIGNATURE_BYTES_MAX {
        let message = format!("the signature's names and types take {bytes} bytes, the limit is {SIGNATURE_BYTES_MAX}");
        return Err(SignatureError::new(message));
    }
    let mut inputs = BTreeSet::new();
    for field in &signature.inputs {
        check_field(field, names)?;
        if !inputs.insert(&field.name) {
            return Err(SignatureError::of_field(&field.name, "it stands among the inputs twice"));
        }
    }
    let mut outputs = BTreeSet::new();
    for field in &signature.outputs {
        check_field(field, names)?;
        if inputs.contains(&field.name) {
            return Err(SignatureError::of_field(
                &field.name,
                "it is an input and an output: give one of them another name",
            ));
        }
        if !outputs.insert(&field.name) {
            return Err(SignatureError::of_field(&field.name, "it stands among the outputs twice"));
        }
    }
    Ok(())
}

fn check_field(field: &SignatureField, names: TypeNames) -> Result<(), SignatureError> {
    let refuse = |why: String| Err(SignatureError::of_field(&field.name, why));
    let name = field.name.as_str();
    if !is_identifier(name) {
        return refuse("it is no Python name: letters, digits and _, and no digit first".to_owned());
    }
    // Python reads these as one, and the worker would then know the field by another name.
    let normalizer = ComposingNormalizerBorrowed::new_nfkc();
    if !normalizer.is_normalized(name) {
        return refuse(format!("Python reads it as {:?}: write that", normalizer.normalize(name)));
    }
    if KEYWORDS.contains(&name) {
        return refuse("it is a word of Python's own".to_owned());
    }
    if name.starts_with('_') {
        return refuse("a field's name does not begin with _".to_owned());
    }
    if TAKEN.contains(&name) {
        return refuse("DSPy's signatures have something else of this name".to_owned());
    }
    match &field.annotation {
        None => Ok(()),
        Some(annotation) => Annotation::read(annotation, names).map(drop).or_else(refuse),
    }
}

fn is_identifier(text: &str) -> bool {
    let (start, continues) = (CodePointSetData::new::<XidStart>(), CodePointSetData::new::<XidContinue>());
    let mut characters = text.chars();
    let first = characters.next().is_some_and(|first| first == '_' || start.contains(first));
    first && characters.all(|next| continues.contains(next))
}
