//! Lists: a table for people, `{"items", "counts", "truncated"}` for programs.

use std::io::Write;

use comfy_table::{Table, presets};
use serde_json::{Map, Value, json};

use crate::console::Console;
use crate::dates::with_dates;
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
    /// How many there are in all, where that is known.
    pub total: Option<u64>,
    /// The table's columns.
    pub header: Vec<&'static str>,
    /// The table's rows.
    pub rows: Vec<Vec<String>>,
}

impl Listing {
    /// Prints in the format asked for. Lines and CSV have no place to say that something is missing: stderr has.
    pub fn print(self, format: Format, console: &Console) -> Result<(), CommandError> {
        if self.truncated && matches!(format, Format::Jsonl | Format::Csv) {
            console.note(&self.left_out());
        }
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

    fn left_out(&self) -> String {
        let shown = self.items.len();
        match self.total {
            Some(total) => format!("{shown} of {total} shown: --all for the rest"),
            None => format!("{shown} shown, and there are more: --all for the rest"),
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

/// How often each name occurs, in the order of their first occurrences.
pub fn counts<'a>(names: impl IntoIterator<Item = &'a str>) -> Map<String, Value> {
    let mut counts = Map::new();
    for name in names {
        let count = counts.get(name).and_then(Value::as_u64).unwrap_or(0);
        counts.insert(name.to_owned(), Value::from(count + 1));
    }
    counts
}

/// Prints one object: pairs with dates for people.
pub fn show(value: Value, format: Format) -> Result<(), CommandError> {
    show_as(value, format, pairs)
}

/// The same with other words for people, made of the object with its dates.
pub fn show_as(value: Value, format: Format, text: impl FnOnce(&Value) -> String) -> Result<(), CommandError> {
    match format {
        Format::Table => output::text(&text(&with_dates(value))),
        Format::Json | Format::Jsonl => output::json(&value),
        Format::Csv => Listing { items: vec![value], ..Listing::default() }.print_csv(),
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
    fn what_is_left_out_is_said_with_as_much_as_is_known() {
        let listing = |total| Listing { items: vec![json!({}); 100], truncated: true, total, ..Listing::default() };
        assert_eq!(listing(Some(250)).left_out(), "100 of 250 shown: --all for the rest");
        assert_eq!(listing(None).left_out(), "100 shown, and there are more: --all for the rest");
    }

    #[test]
    fn names_are_counted() {
        let counts = counts(["voter", "learner", "voter"]);
        assert_eq!(Value::Object(counts), json!({"voter": 2, "learner": 1}));
    }

    #[test]
    fn pairs_are_aligned() {
        assert_eq!(pairs(&json!({"a": "x", "long": 1, "none": null})), "a     x\nlong  1\nnone\n");
    }
}
