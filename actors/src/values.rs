//! Named JSON values, of a session or of a program, as code in a worker gets them.

use dspex_model::SessionData;

/// One JSON object. Values are JSON texts already.
pub(crate) fn as_json(data: &SessionData) -> String {
    let mut text = String::with_capacity(data.bytes() + 8 * data.values().len() + 2);
    text.push('{');
    for (place, (name, value)) in data.values().enumerate() {
        if place > 0 {
            text.push(',');
        }
        text.push_str(&serde_json::Value::from(name).to_string());
        text.push(':');
        text.push_str(value);
    }
    text.push('}');
    text
}
