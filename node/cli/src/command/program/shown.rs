//! Programs as objects for programs, and as texts for people.

use dspex_api::v1::{self, ProgramStatus, SignatureField};
use serde_json::{Value, json};

use crate::assignment;
use crate::dates::date;
use crate::listing::pairs;

/// In a list.
pub(super) fn outline(program: &v1::Program) -> Value {
    json!({
        "program": program.name,
        "program_id": program.program_id,
        "session": session(program),
        "status": status(program.status),
        "version": program.version,
        "signature": program.signature.as_ref().map(signature),
        "created_unix_ms": program.created_ms,
        "updated_unix_ms": program.updated_ms,
        "written_unix_ms": program.written_ms,
        "written_by": program.written_by,
        "note": program.note,
    })
}

/// All of it.
pub(super) fn object(program: &v1::Program, optimizations: &[v1::Optimization]) -> Value {
    let mut shown = outline(program);
    if let Value::Object(object) = &mut shown {
        let fields = |side: fn(&v1::Signature) -> &[SignatureField]| {
            let listed =
                |field: &SignatureField| json!({"name": field.name, "type": field.r#type.as_deref().unwrap_or("str")});
            program.signature.as_ref().map(|signature| side(signature).iter().map(listed).collect::<Vec<_>>())
        };
        object.insert("newest_version".to_owned(), Value::from(program.newest_version));
        object.insert("inputs".to_owned(), json!(fields(|signature| &signature.inputs)));
        object.insert("outputs".to_owned(), json!(fields(|signature| &signature.outputs)));
        object.insert("definition".to_owned(), assignment::value(&program.definition));
        object.insert("definition_digest".to_owned(), json!(some(&program.definition_digest)));
        object.insert("variables".to_owned(), assignment::object(&program.variables));
        let history: Vec<Value> = optimizations.iter().map(optimization).collect();
        object.insert("optimization_history".to_owned(), Value::from(history));
    }
    shown
}

/// The same for people: what stands in the signature is not said twice, and optimizations are counted.
pub(super) fn page(shown: &Value) -> String {
    let Value::Object(object) = shown else { return pairs(shown) };
    let mut page = object.clone();
    for field in ["inputs", "outputs", "optimization_history"] {
        page.shift_remove(field);
    }
    page.retain(|_, value| !value.is_null() && value.as_str() != Some(""));
    let history = object.get("optimization_history").and_then(Value::as_array);
    if let Some(newest) = history.and_then(|history| history.first()) {
        let count = history.map_or(0, Vec::len);
        let said = format!("{count}, the newest by {}", newest["optimizer_type"].as_str().unwrap_or_default());
        page.insert("optimizations".to_owned(), Value::from(said));
    }
    pairs(&Value::Object(page))
}

pub(super) fn row(program: &v1::Program) -> Vec<String> {
    vec![
        program.name.clone(),
        program.version.to_string(),
        status(program.status).to_owned(),
        date(program.updated_ms),
        program.signature.as_ref().map(signature).unwrap_or_default(),
    ]
}

pub(super) fn version(version: &v1::ProgramVersion) -> Value {
    let definition = (!version.definition.is_empty()).then(|| assignment::value(&version.definition));
    json!({
        "version": version.version,
        "written_unix_ms": version.written_ms,
        "written_by": version.written_by,
        "note": version.note,
        "signature": version.signature.as_ref().map(signature),
        "definition": definition,
        "definition_digest": some(&version.definition_digest),
        "variables": assignment::object(&version.variables),
    })
}

pub(super) fn version_row(version: &v1::ProgramVersion) -> Vec<String> {
    vec![
        version.version.to_string(),
        date(version.written_ms),
        version.written_by.clone(),
        version.signature.as_ref().map(signature).unwrap_or_default(),
        version.note.clone(),
    ]
}

pub(super) fn optimization(optimization: &v1::Optimization) -> Value {
    json!({
        "optimization_id": optimization.optimization_id,
        "number": optimization.number,
        "optimizer_type": optimization.optimizer_type,
        "program_version": optimization.program_version,
        "parameters": assignment::value(&optimization.parameters),
        "performance_metrics": assignment::value(&optimization.performance_metrics),
        "training_data_hash": some(&optimization.training_data_hash),
        "created_unix_ms": optimization.created_ms,
        "recorded_by": optimization.recorded_by,
    })
}

pub(super) fn optimization_row(optimization: &v1::Optimization) -> Vec<String> {
    vec![
        optimization.number.to_string(),
        optimization.optimizer_type.clone(),
        optimization.program_version.to_string(),
        date(optimization.created_ms),
        optimization.performance_metrics.clone(),
    ]
}

/// Of one that a newer node knows more of, nothing is said.
pub(super) fn status(status: i32) -> &'static str {
    match ProgramStatus::try_from(status) {
        Ok(ProgramStatus::Draft) => "draft",
        Ok(ProgramStatus::Ready) => "ready",
        Ok(ProgramStatus::Deprecated) => "deprecated",
        Ok(ProgramStatus::Unspecified) | Err(_) => "",
    }
}

/// As DSPy writes it.
fn signature(signature: &v1::Signature) -> String {
    let side = |fields: &[SignatureField]| {
        let written = fields.iter().map(|field| match &field.r#type {
            Some(annotation) => format!("{}: {annotation}", field.name),
            None => field.name.clone(),
        });
        written.collect::<Vec<_>>().join(", ")
    };
    format!("{} -> {}", side(&signature.inputs), side(&signature.outputs))
}

fn session(program: &v1::Program) -> Option<&str> {
    some(&program.session_id)
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program() -> v1::Program {
        let field = |name: &str, annotation: Option<&str>| SignatureField {
            name: name.to_owned(),
            r#type: annotation.map(str::to_owned),
        };
        v1::Program {
            program_id: "id".to_owned(),
            name: "qa".to_owned(),
            status: ProgramStatus::Ready.into(),
            version: 2,
            newest_version: 3,
            definition: r#"{"signature": "q -> a: int"}"#.to_owned(),
            signature: Some(v1::Signature { inputs: vec![field("q", None)], outputs: vec![field("a", Some("int"))] }),
            variables: [("t".to_owned(), "0.2".to_owned())].into(),
            ..v1::Program::default()
        }
    }

    #[test]
    fn an_object_has_values_and_not_their_texts() {
        let optimization = v1::Optimization {
            optimizer_type: "MIPROv2".to_owned(),
            performance_metrics: r#"{"score": 81.5}"#.to_owned(),
            ..v1::Optimization::default()
        };
        let shown = object(&program(), &[optimization]);
        assert_eq!(shown["definition"]["signature"], "q -> a: int");
        assert_eq!((&shown["signature"], &shown["session"]), (&json!("q -> a: int"), &Value::Null));
        assert_eq!(
            (&shown["inputs"], &shown["outputs"]),
            (&json!([{"name": "q", "type": "str"}]), &json!([{"name": "a", "type": "int"}]))
        );
        assert_eq!(
            (&shown["variables"]["t"], &shown["version"], &shown["newest_version"]),
            (&json!(0.2), &json!(2), &json!(3))
        );
        assert_eq!(shown["optimization_history"][0]["performance_metrics"]["score"], 81.5);
        let text = page(&shown);
        assert!(
            text.contains("1, the newest by MIPROv2") && !text.contains("inputs") && !text.contains("session"),
            "{text}"
        );
    }

    #[test]
    fn a_program_of_code_has_no_signature_to_show() {
        let shown = object(&v1::Program { signature: None, ..program() }, &[]);
        assert_eq!((&shown["signature"], &shown["inputs"]), (&Value::Null, &Value::Null));
        assert!(!page(&shown).contains("optimizations"));
    }
}
