//! One JSON object a line, for machines.

use serde_json::{Map, Value};

use super::fields::Fields;
use super::{Line, timestamp};

pub(super) fn write(line: &Line<'_>) -> String {
    let mut object = Map::new();
    object.insert("timestamp".to_owned(), timestamp(line.time).into());
    object.insert("level".to_owned(), line.level.as_str().into());
    object.insert("target".to_owned(), line.target.into());
    object.insert("message".to_owned(), line.message.unwrap_or_default().into());
    if let Some(trace) = line.trace {
        object.insert("trace_id".to_owned(), trace.trace_id().to_string().into());
        object.insert("span_id".to_owned(), trace.span_id().to_string().into());
    }
    if !line.fields.is_empty() {
        object.insert("fields".to_owned(), values(line.fields).into());
    }
    if !line.spans.is_empty() {
        let spans: Vec<Value> = line.spans.iter().map(|(name, fields)| span(name, fields)).collect();
        object.insert("spans".to_owned(), spans.into());
    }
    let mut text = Value::Object(object).to_string();
    text.push('\n');
    text
}

fn span(name: &str, fields: &Fields) -> Value {
    let mut object = Map::new();
    object.insert("name".to_owned(), name.into());
    if !fields.is_empty() {
        object.insert("fields".to_owned(), values(fields).into());
    }
    object.into()
}

fn values(fields: &Fields) -> Map<String, Value> {
    fields.iter().map(|(name, value)| (name.to_owned(), value.clone())).collect()
}
