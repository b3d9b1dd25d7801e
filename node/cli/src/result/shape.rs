//! The columns of all rows together: what a CSV header and a Parquet schema need before the first row.

use std::collections::HashMap;

use serde_json::value::RawValue;

use crate::object::Object;

/// What the values of a column have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing but null so far.
    Empty,
    /// true and false.
    Boolean,
    /// Integers that fit 64 bits.
    Integer,
    /// Any numbers.
    Number,
    /// Text.
    Text,
    /// Anything else: kept as JSON text.
    Json,
}

/// Columns in order of their first appearance.
#[derive(Debug, Default)]
pub struct Shape {
    /// Names and kinds.
    pub columns: Vec<(String, Kind)>,
    index: HashMap<String, usize>,
}

impl Shape {
    /// Takes a row into account.
    pub fn add(&mut self, row: &Object) {
        for (name, value) in &row.0 {
            let kind = kind_of(value);
            match self.index.get(name) {
                Some(&position) => {
                    let known = &mut self.columns[position].1;
                    *known = join(*known, kind);
                }
                None => {
                    self.index.insert(name.clone(), self.columns.len());
                    self.columns.push((name.clone(), kind));
                }
            }
        }
    }
}

fn kind_of(value: &RawValue) -> Kind {
    let text = value.get();
    match text.as_bytes().first() {
        Some(b'n') => Kind::Empty,
        Some(b't' | b'f') => Kind::Boolean,
        Some(b'"') => Kind::Text,
        Some(b'[' | b'{') | None => Kind::Json,
        // A longer integer would lose digits as a 64-bit float.
        Some(_) if text.parse::<i64>().is_ok() => Kind::Integer,
        Some(_) if text.contains(['.', 'e', 'E']) => Kind::Number,
        Some(_) => Kind::Json,
    }
}

fn join(left: Kind, right: Kind) -> Kind {
    match (left, right) {
        (same, other) if same == other => same,
        (Kind::Empty, other) | (other, Kind::Empty) => other,
        (Kind::Integer, Kind::Number) | (Kind::Number, Kind::Integer) => Kind::Number,
        _ => Kind::Json,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[&str], expected: Kind) {
        let mut shape = Shape::default();
        for value in values {
            shape.add(&serde_json::from_str(&format!("{{\"a\":{value}}}")).expect("JSON"));
        }
        assert_eq!(shape.columns, [("a".to_owned(), expected)], "{values:?}");
    }

    #[test]
    fn a_column_takes_the_kind_that_fits_all() {
        check(&["null", "1", "-2"], Kind::Integer);
        check(&["1", "0.5", "1e3"], Kind::Number);
        check(&["true", "null"], Kind::Boolean);
        check(&["\"a\"", "1"], Kind::Json);
        check(&["12345678901234567890123"], Kind::Json);
        check(&["[1]"], Kind::Json);
        check(&["null"], Kind::Empty);
    }
}
