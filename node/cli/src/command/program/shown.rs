//! Programs as objects for programs, and as texts for people.

use dspex_api::v1::{self, ProgramStatus, SignatureField};
use serde_json::{Value, json};

use crate::assignment;
use crate::dates::date;
use crate::listing::pairs;
use crate::object::Object;
use crate::verbatim::{plain, stored, written};

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
pub(super) fn object(program: &v1::Program, optimizations: &[v1::Optimization]) -> Object {
    let fields = |side: fn(&v1::Signature) -> &[SignatureField]| {
        let listed =
            |field: &SignatureField| json!({"name": field.name, "type": field.r#type.as_deref().unwrap_or("str")});
        program.signature.as_ref().map(|signature| side(signature).iter().map(listed).collect::<Vec<_>>())
    };
    let history: Vec<Object> = optimizations.iter().map(optimization).collect();
    Object::from(outline(program))
        .with("newest_version", written(&program.newest_version))
        .with("inputs", written(&fields(|signature| &signature.inputs)))
        .with("outputs", written(&fields(|signature| &signature.outputs)))
        .with("definition", stored(&program.definition))
        .with("definition_digest", written(&some(&program.definition_digest)))
        .with("variables", assignment::object(&program.variables))
        .with("optimization_history", written(&history))
}

/// The same for people: what stands in the signature is not said twice, and optimizations are counted.
pub(super) fn page(shown: &Object) -> String {
    let kept = |name: &str, value: &str| {
        !["inputs", "outputs", "optimization_history"].contains(&name) && !["null", "\"\""].contains(&value)
    };
    let mut page = Object(shown.0.iter().filter(|(name, value)| kept(name, value.get())).cloned().collect());
    let history = shown.get("optimization_history").and_then(|list| serde_json::from_str(list.get()).ok());
    let history: Vec<Object> = history.unwrap_or_default();
    if let Some(newest) = history.first() {
        let by = newest.get("optimizer_type").map(plain).unwrap_or_default();
        page.set("optimizations", written(&format!("{}, the newest by {by}", history.len())));
    }
    pairs(&page)
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

pub(super) fn version(version: &v1::ProgramVersion) -> Object {
    let object = Object::from(json!({
        "version": version.version,
        "written_unix_ms": version.written_ms,
        "written_by": version.written_by,
        "note": version.note,
        "signature": version.signature.as_ref().map(signature),
        "definition": null,
        "definition_digest": some(&version.definition_digest),
    }));
    let object =
        if version.definition.is_empty() { object } else { object.with("definition", stored(&version.definition)) };
    object.with("variables", assignment::object(&version.variables))
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

pub(super) fn optimization(optimization: &v1::Optimization) -> Object {
    let object = json!({
        "optimization_id": optimization.optimization_id,
        "number": optimization.number,
        "optimizer_type": optimization.optimizer_type,
        "program_version": optimization.program_version,
        "parameters": null,
        "performance_metrics": null,
        "training_data_hash": some(&optimization.training_data_hash),
        "created_unix_ms": optimization.created_ms,
        "recorded_by": optimization.recorded_by,
    });
    Object::from(object)
        .with("parameters", stored(&optimization.parameters))
        .with("performance_metrics", stored(&optimization.performance_metrics))
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

    fn value(object: &Object) -> Value {
        serde_json::from_str(&object.json()).expect("an object")
    }

    #[test]
    fn an_object_has_values_and_not_their_texts() {
        let optimization = v1::Optimization {
            optimizer_type: "MIPROv2".to_owned(),
            performance_metrics: r#"{"score": 81.5}"#.to_owned(),
            ..v1::Optimization::default()
        };
        let whole = object(&program(), &[optimization]);
        let shown = value(&whole);
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
        let text = page(&whole);
        assert!(
            text.contains("1, the newest by MIPROv2") && !text.contains("inputs") && !text.contains("session"),
            "{text}"
        );
    }

    #[test]
    fn what_is_stored_is_shown_with_its_very_digits() {
        let long = "123456789012345678901234567890";
        let variables = [("t".to_owned(), "1e400".to_owned())].into();
        let definition = format!(r#"{{"signature": "q -> a", "seed": {long}}}"#);
        let optimization = v1::Optimization { parameters: long.to_owned(), ..v1::Optimization::default() };
        let shown = object(&v1::Program { definition, variables, ..program() }, &[optimization]).json();
        assert!(shown.contains(&format!(r#""seed":{long}}}"#)), "{shown}");
        assert!(shown.contains(r#""variables":{"t":1e400}"#), "{shown}");
        assert!(shown.contains(&format!(r#""parameters":{long}"#)), "{shown}");
    }

    #[test]
    fn a_program_of_code_has_no_signature_to_show() {
        let whole = object(&v1::Program { signature: None, ..program() }, &[]);
        let shown = value(&whole);
        assert_eq!((&shown["signature"], &shown["inputs"]), (&Value::Null, &Value::Null));
        assert!(!page(&whole).contains("optimizations"));
    }
}
