//! Parquet: each row becomes a JSON object; nested values stay nested.

use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use serde_json::{Map, Number, Value};

use super::invalid;
use super::rows::Rows;
use crate::error::CommandError;

/// Reads all rows.
pub fn read(path: &Path, file: File, rows: &mut Rows) -> Result<(), CommandError> {
    let damaged = |error: &dyn std::fmt::Display| invalid(path, None, &format!("not readable as Parquet: {error}"));
    let reader = SerializedFileReader::new(file).map_err(|error| damaged(&error))?;
    let iterator = reader.get_row_iter(None).map_err(|error| damaged(&error))?;
    for (row, number) in iterator.zip(1..) {
        let row = row.map_err(|error| damaged(&error))?;
        let at = |what: &str| invalid(path, Some(("row", number)), what);
        let object = object_of(&row).map_err(|what| at(&what))?;
        serde_json::to_writer(rows.buffer(), &object).map_err(|error| at(&error.to_string()))?;
        let names = object.keys().map(String::as_str);
        if let ControlFlow::Break(()) = rows.end_row(number, names)? {
            break;
        }
    }
    Ok(())
}

fn object_of(row: &Row) -> Result<Map<String, Value>, String> {
    row.get_column_iter()
        .map(|(name, field)| {
            let value = value_of(field).map_err(|what| format!("{name}: {what}"))?;
            Ok((name.clone(), value))
        })
        .collect()
}

fn value_of(field: &Field) -> Result<Value, String> {
    Ok(match field {
        // The crate's own conversion makes null of a float that has no JSON form, which would be a silent change.
        Field::Float(number) => float(f64::from(*number))?,
        Field::Double(number) => float(*number)?,
        Field::Float16(number) => float(f64::from(*number))?,
        Field::Group(row) => Value::Object(object_of(row)?),
        Field::ListInternal(list) => Value::Array(list.elements().iter().map(value_of).collect::<Result<_, _>>()?),
        Field::MapInternal(map) => {
            let mut object = Map::new();
            for (key, value) in map.entries() {
                object.insert(key_of(key), value_of(value)?);
            }
            Value::Object(object)
        }
        other => other.to_json_value(),
    })
}

fn key_of(field: &Field) -> String {
    match field {
        Field::Str(text) => text.clone(),
        other => other.to_string(),
    }
}

fn float(number: f64) -> Result<Value, String> {
    match Number::from_f64(number) {
        Some(number) => Ok(Value::Number(number)),
        None => Err(format!("{number} has no JSON form")),
    }
}
