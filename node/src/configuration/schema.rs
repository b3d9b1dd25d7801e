//! `dspex config schema`: the JSON Schema of `dspex.toml`, made from the table of keys.

use serde_json::{Map, Value as Json, json};

use super::key::{self, FullKey, Preset};

/// The schema. Editors and validators read the file as the JSON that says the same.
pub(crate) fn schema() -> Json {
    let mut root = section();
    for full in key::all() {
        place(&mut root, &full);
    }
    environments(&mut root);
    let mut schema = Map::new();
    schema.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    schema.insert("title".to_owned(), json!("dspex.toml"));
    schema.insert("description".to_owned(), json!("The configuration of a DSPex node"));
    schema.extend(root);
    Json::Object(schema)
}

/// Any name is an environment's.
fn environments(root: &mut Map<String, Json>) {
    let mut each = section();
    if let Some(properties) = properties(&mut each) {
        for full in key::of_environment("NAME") {
            properties.insert(full.key.name.to_owned(), value(&full));
        }
    }
    if let Some(properties) = properties(root) {
        properties.insert("environments".to_owned(), json!({ "type": "object", "additionalProperties": each }));
    }
}

fn section() -> Map<String, Json> {
    let mut section = Map::new();
    section.insert("type".to_owned(), json!("object"));
    // Unknown keys are errors.
    section.insert("additionalProperties".to_owned(), json!(false));
    section.insert("properties".to_owned(), json!({}));
    section
}

fn place(root: &mut Map<String, Json>, full: &FullKey) {
    let mut names: Vec<&str> = full.name.split('.').collect();
    let Some(last) = names.pop() else { return };
    let mut place = root;
    for name in names {
        let Some(properties) = properties(place) else { return };
        let inner = properties.entry(name.to_owned()).or_insert_with(|| Json::Object(section()));
        let Some(inner) = inner.as_object_mut() else { return };
        place = inner;
    }
    if let Some(properties) = properties(place) {
        properties.insert(last.to_owned(), value(full));
    }
}

fn properties(section: &mut Map<String, Json>) -> Option<&mut Map<String, Json>> {
    section.get_mut("properties")?.as_object_mut()
}

fn value(full: &FullKey) -> Json {
    let mut schema = full.key.kind.schema();
    schema["description"] = match full.key.preset {
        Preset::Nothing(words) | Preset::Depends(words, _) => json!(format!("{} (default: {words})", full.key.says)),
        Preset::Text(_) | Preset::Number(_) | Preset::OfClass => json!(full.key.says),
    };
    match full.key.preset {
        Preset::Text(text) => schema["default"] = json!(text),
        Preset::Number(number) => schema["default"] = json!(number),
        Preset::Nothing(_) | Preset::Depends(..) | Preset::OfClass => {}
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_has_every_key_in_its_section_and_nothing_else() {
        let schema = schema();
        for full in key::all() {
            let pointer = format!("/properties/{}", full.name.replace('.', "/properties/"));
            let found = schema.pointer(&pointer).unwrap_or_else(|| panic!("{} is missing", full.name));
            let description = found["description"].as_str().unwrap_or_default();
            assert!(description.starts_with(full.key.says), "{}: {found}", full.name);
        }
        fn leaves(schema: &Json) -> usize {
            if schema["additionalProperties"].is_object() {
                return 0; // Of names that are the file's own.
            }
            assert_eq!(schema["additionalProperties"], false);
            let properties = schema["properties"].as_object().expect("a section");
            properties.values().map(|one| if one["type"] == "object" { leaves(one) } else { 1 }).sum()
        }
        assert_eq!(leaves(&schema), key::all().count());
        let python = &schema["properties"]["environments"]["additionalProperties"]["properties"]["python"];
        assert_eq!(python["type"], "string", "{schema}");
    }
}
