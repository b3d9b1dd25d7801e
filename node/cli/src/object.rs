//! An object for programs: names and JSON texts in their order, so that what is stored goes out as it was written.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::verbatim::written;

/// Names and JSON texts, in the order of the source.
#[derive(Debug, Default, Clone)]
pub struct Object(pub Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor;
        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = Object;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Object, M::Error> {
                let mut object = Object::default();
                while let Some((name, value)) = map.next_entry::<String, _>()? {
                    object.set(name, value);
                }
                Ok(object)
            }
        }
        deserializer.deserialize_map(ObjectVisitor)
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl From<Value> for Object {
    /// Nothing but objects is listed and shown; what would be none stands alone under a name.
    fn from(value: Value) -> Self {
        let fields = match value {
            Value::Object(map) => map.into_iter().map(|(name, value)| (name, written(&value))).collect(),
            other => vec![("value".to_owned(), written(&other))],
        };
        Self(fields)
    }
}

impl Object {
    /// As in Python: a name that exists keeps its place and gets the new value.
    pub fn set(&mut self, name: impl Into<String>, value: Box<RawValue>) {
        let name = name.into();
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name, value)),
        }
    }

    /// The same on the way.
    #[must_use]
    pub fn with(mut self, name: &str, value: Box<RawValue>) -> Self {
        self.set(name, value);
        self
    }

    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<&RawValue> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_ref())
    }

    /// Whether there is a value of this name.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The JSON text.
    pub fn json(&self) -> String {
        written(self).get().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::verbatim::stored;

    #[test]
    fn what_is_put_in_as_text_comes_out_as_it_was() {
        let object = Object::from(json!({"a": 1, "value": null, "z": "\n"})).with("value", stored("1e400"));
        assert_eq!(object.json(), r#"{"a":1,"value":1e400,"z":"\n"}"#);
        let read: Object = serde_json::from_str(&object.json()).expect("an object");
        assert_eq!((read.json(), read.has("z"), read.has("y")), (object.json(), true, false));
    }
}
