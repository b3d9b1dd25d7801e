//! Lists: a table for people, `{"items", "counts", "truncated"}` for programs.

use std::io::Write;

use comfy_table::{Table, presets};
use serde_json::{Map, Value, json};

use crate::error::CommandError;
use crate::output::{self, Format};

/// Items as objects, and how they look as a table.
#[derive(Debug, Default)]
pub struct Listing {
    /// For programs.
    pub items: Vec<Value>,
    /// How many there are of each kind, also of those left out.
    pub counts: Map<String, Value>,
    /// Items were left out; `--all` shows them.
    pub truncated: bool,
    /// The table's columns.
    pub header: Vec<&'static str>,
    /// The table's rows.
    pub rows: Vec<Vec<String>>,
}

impl Listing {
    /// A listing without a table.
    pub fn of_objects(items: Vec<Value>) -> Self {
        Self { items, ..Self::default() }
    }

    /// Prints in the format asked for.
    pub fn print(self, format: Format) -> Result<(), CommandError> {
        match format {
            Format::Table => output::text(&self.table()),
            Format::Json => output::json(&json!({
                "items": self.items,
                "counts": self.counts,
                "truncated": self.truncated,
            })),
            Format::Jsonl => {
                let lines: String = self.items.iter().map(|item| format!("{item}\n")).collect();
                output::text(&lines)
            }
            Format::Csv => self.print_csv(),
        }
    }

    fn table(&self) -> String {
        if self.rows.is_empty() {
            return "nothing to list\n".to_owned();
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(self.header.clone());
        for row in &self.rows {
            table.add_row(row.clone());
        }
        let mut text: String = table.lines().map(|line| line.trim_end().to_owned() + "\n").collect();
        if self.truncated {
            text.push_str("... more with --all\n");
        }
        text
    }

    fn print_csv(self) -> Result<(), CommandError> {
        let mut out = output::writer();
        {
            let mut writer = csv::Writer::from_writer(&mut out);
            if let Some(Value::Object(first)) = self.items.first() {
                writer.write_record(first.keys()).map_err(csv_failed)?;
            }
            for item in &self.items {
                let cells = item.as_object().into_iter().flat_map(Map::values).map(plain);
                writer.write_record(cells).map_err(csv_failed)?;
            }
            writer.flush()?;
        }
        Ok(out.flush()?)
    }
}

/// A broken pipe must be told from a real failure.
pub fn csv_failed(error: csv::Error) -> CommandError {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error.into(),
        other => CommandError::new(crate::exit::FAILED, format!("{other:?}")),
    }
}

/// A value as a person writes it: text without quotes, nothing for null.
pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// An object as aligned lines of key and value.
pub fn pairs(value: &Value) -> String {
    let Value::Object(object) = value else {
        return format!("{}\n", plain(value));
    };
    let width = object.keys().map(String::len).max().unwrap_or(0);
    object.iter().map(|(key, value)| format!("{key:width$}  {}", plain(value)).trim_end().to_owned() + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_no_frame_and_says_when_it_is_cut() {
        let listing = Listing {
            header: vec!["RUN", "SCORE"],
            rows: vec![vec!["a".into(), "1".into()]],
            truncated: true,
            ..Listing::default()
        };
        let lines: Vec<String> = listing.table().lines().map(|line| line.trim().to_owned()).collect();
        assert!(lines[0].starts_with("RUN") && lines[1].starts_with('a') && lines[2].contains("--all"), "{lines:?}");
    }

    #[test]
    fn pairs_are_aligned() {
        assert_eq!(pairs(&json!({"a": "x", "long": 1, "none": null})), "a     x\nlong  1\nnone\n");
    }
}
