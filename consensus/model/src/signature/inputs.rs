//! What a program is called with, held against its signature before anything is executed.

use serde_json::{Map, Value};

use super::annotation::{Annotation, kind};
use super::{InputsError, Signature, TypeNames};
use crate::echo::shortened;

/// Whether a program of this signature can be called with these inputs, a JSON object: none missing, none unknown, none of
/// another basic type. Classes of the program's own are left to Python.
///
/// # Errors
/// All that is wrong, with the fields' names.
pub fn check_inputs(signature: &Signature, inputs: &str) -> Result<(), InputsError> {
    let read =
        serde_json::from_str(inputs).map_err(|error| InputsError(format!("with inputs that are no JSON: {error}")))?;
    let given = match read {
        Value::Object(given) => given,
        other => {
            let what = kind(&other);
            return Err(InputsError(format!(
                "with {what} instead of an object of names and values; {}",
                known(signature)
            )));
        }
    };
    let problems: Vec<String> = [missing(signature, &given), unknown(signature, &given)]
        .into_iter()
        .flatten()
        .chain(of_another_type(signature, &given))
        .collect();
    if problems.is_empty() {
        Ok(())
    } else {
        Err(InputsError(format!("{}; {}", problems.join("; "), known(signature))))
    }
}

fn missing(signature: &Signature, given: &Map<String, Value>) -> Option<String> {
    let missing = signature.inputs.iter().map(|field| field.name.as_str()).filter(|name| !given.contains_key(*name));
    listed("without ", missing)
}

fn unknown(signature: &Signature, given: &Map<String, Value>) -> Option<String> {
    let is_known = |name: &str| signature.inputs.iter().any(|field| field.name == name);
    let unknown = given.keys().map(String::as_str).filter(|name| !is_known(name));
    listed("with unknown ", unknown)
}

fn of_another_type<'a>(signature: &'a Signature, given: &'a Map<String, Value>) -> impl Iterator<Item = String> + 'a {
    signature.inputs.iter().filter_map(|field| {
        // DSPy takes anything where no type is written.
        let (annotation, value) = (field.annotation.as_deref()?, given.get(&field.name)?);
        // What was registered could be read; a form that another version knows is left to Python.
        let annotation = Annotation::read(annotation, TypeNames::Any).ok()?;
        annotation.check(&field.name, value).err().map(|why| format!("with a value of another type: {why}"))
    })
}

/// Names of an input may be as many as a request has room for; some say enough.
fn listed<'a>(before: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    const SHOWN: usize = 8;
    let names: Vec<&str> = names.collect();
    let shown = names.iter().take(SHOWN).map(|name| shortened(name)).collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => None,
        count if count > SHOWN => Some(format!("{before}{shown} and {} more", count - SHOWN)),
        _ => Some(format!("{before}{shown}")),
    }
}

fn known(signature: &Signature) -> String {
    let fields = signature.inputs.iter().map(|field| format!("{}: {}", field.name, field.type_name()));
    format!("the program takes {}", fields.collect::<Vec<_>>().join(", "))
}
