//! Comparing the fields of an object that matter to a test.

use serde_json::Value;

/// Every field of `expected` must stand in `value`, equal.
///
/// # Panics
/// When one is missing or different.
// Written at the call as json!({...}).
#[allow(clippy::needless_pass_by_value)]
#[track_caller]
pub fn expect_fields(value: &Value, expected: Value) {
    for (name, wanted) in expected.as_object().expect("an object") {
        assert!(value.get(name) == Some(wanted), "{name} should be {wanted} in {value}");
    }
}
