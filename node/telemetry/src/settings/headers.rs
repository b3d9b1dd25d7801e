//! The headers that a collector wants, which are mostly keys.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

/// Headers of each request to the collector. They show their names only.
#[derive(Clone, Default)]
pub(crate) struct Headers(HeaderMap);

impl Headers {
    /// `name=value,name=value` with percent-encoded values, as OpenTelemetry has it, or a JSON object.
    pub(super) fn parse(text: &str, warnings: &mut Vec<String>) -> Self {
        let mut headers = HeaderMap::new();
        for pair in pairs(text) {
            let header = pair.and_then(|(name, value)| {
                let mut value = HeaderValue::from_str(&value).ok()?;
                value.set_sensitive(true);
                Some((HeaderName::from_bytes(name.to_ascii_lowercase().as_bytes()).ok()?, value))
            });
            match header {
                Some((name, value)) => _ = headers.insert(name, value),
                // Not a word of what it was.
                None => warnings.push(
                    "a part of OTEL_EXPORTER_OTLP_HEADERS is not a header; use name=value,... or a JSON object"
                        .to_owned(),
                ),
            }
        }
        Self(headers)
    }

    pub(crate) fn map(&self) -> &HeaderMap {
        &self.0
    }

    /// What must not be seen anywhere: each value, and each word of it, so that `Bearer x` hides `x`.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &str> {
        self.0
            .values()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| std::iter::once(value).chain(value.split(' ')))
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.0.keys()).finish()
    }
}

/// Names and values; `None` for what is neither.
fn pairs(text: &str) -> Vec<Option<(String, String)>> {
    let text = text.trim();
    if text.starts_with('{') {
        let Ok(serde_json::Value::Object(object)) = serde_json::from_str(text) else { return vec![None] };
        return object.into_iter().map(|(name, value)| Some((name, value.as_str()?.to_owned()))).collect();
    }
    text.split(',')
        .filter(|part| !part.trim().is_empty())
        .map(|part| part.split_once('=').map(|(name, value)| (name.trim().to_owned(), decode(value.trim()))))
        .collect()
}

/// Undoes percent-encoding; what is not encoded properly stays as it is.
pub(super) fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let digit = |place: usize| after.get(place).and_then(|byte| char::from(*byte).to_digit(16));
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.extend(u8::try_from(high * 16 + low));
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}
