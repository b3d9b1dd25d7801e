//! Lists: a table for people, `{"items", "counts", "truncated"}` for programs.

use std::io::Write;

use comfy_table::{Table, presets};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::console::Console;
use crate::dates::with_dates;
use crate::error::CommandError;
use crate::object::Object;
use crate::output::{self, Format};
use crate::verbatim;
use crate::visible;

/// Items as objects, and how they look as a table.
#[derive(Debug, Default)]
pub struct Listing {
    /// For programs.
    pub items: Items,
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

/// Items on one page.
pub const PAGE: u32 = 100;
/// `--all` asks for page after page.
pub const PAGE_OF_ALL: u32 = 1000;

/// Items as a node gives them: some, and how many there are.
#[derive(Debug, Default, PartialEq)]
pub struct Page<T> {
    /// In the order of their names.
    pub items: Vec<T>,
    /// How many there are in all, on this page or not.
    pub total: u64,
    /// There are more behind these.
    pub truncated: bool,
}

/// The first page, or for `--all` one behind the other until there is no more. `ask` is told behind what its page begins, which is
/// the `name` of the last item so far, and how long it may be.
pub async fn pages<T>(
    all: bool,
    name: impl Fn(&T) -> String,
    ask: impl AsyncFn(String, u32) -> Result<Page<T>, CommandError>,
) -> Result<Page<T>, CommandError> {
    if !all {
        return ask(String::new(), PAGE).await;
    }
    let mut found = Page { items: Vec::new(), total: 0, truncated: true };
    while found.truncated {
        let after = found.items.last().map(&name).unwrap_or_default();
        let page = ask(after, PAGE_OF_ALL).await?;
        // A page without items would be asked for again and again.
        (found.total, found.truncated) = (page.total, page.truncated && !page.items.is_empty());
        found.items.extend(page.items);
    }
    Ok(found)
}

/// What is listed, as objects.
#[derive(Debug, Default)]
pub struct Items(pub Vec<Object>);

impl<T: Into<Object>> FromIterator<T> for Items {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self(items.into_iter().map(Into::into).collect())
    }
}

impl Listing {
    /// Prints in the format asked for. Lines and CSV have no place to say that something is missing: stderr has.
    pub fn print(self, format: Format, console: &Console) -> Result<(), CommandError> {
        if self.truncated && matches!(format, Format::Jsonl | Format::Csv) {
            console.note(&self.left_out());
        }
        match format {
            Format::Table => output::people(&self.table()),
            Format::Json => output::text(&format!("{}\n", self.document())),
            Format::Jsonl => output::text(&self.lines()),
            Format::Csv => self.print_csv(),
        }
    }

    fn document(&self) -> String {
        let document = [
            ("items", verbatim::written(&self.items.0)),
            ("counts", verbatim::written(&self.counts)),
            ("truncated", verbatim::written(&self.truncated)),
        ];
        Object(document.map(|(name, value)| (name.to_owned(), value)).into()).json()
    }

    fn lines(&self) -> String {
        self.items.0.iter().map(|item| item.json() + "\n").collect()
    }

    fn left_out(&self) -> String {
        let shown = self.items.0.len();
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
            table.add_row(row.iter().map(|cell| visible::line(cell)));
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
            if let Some(first) = self.items.0.first() {
                writer.write_record(first.0.iter().map(|(name, _)| name)).map_err(csv_failed)?;
            }
            for item in &self.items.0 {
                let cells = item.0.iter().map(|(_, value)| verbatim::plain(value));
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
pub fn show(object: impl Into<Object>, format: Format) -> Result<(), CommandError> {
    show_as(object, format, pairs)
}

/// The same with other words for people, made of the object with its dates.
pub fn show_as(
    object: impl Into<Object>,
    format: Format,
    text: impl FnOnce(&Object) -> String,
) -> Result<(), CommandError> {
    let object = object.into();
    match format {
        Format::Table => output::people(&text(&with_dates(object))),
        Format::Json | Format::Jsonl => output::text(&format!("{}\n", object.json())),
        Format::Csv => Listing { items: Items(vec![object]), ..Listing::default() }.print_csv(),
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

/// An object as aligned lines of key and value. What a value has of further lines stands beneath its first, so that none of them
/// passes for a pair.
pub fn pairs(object: &Object) -> String {
    let width = object.0.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let beneath = format!("\n{:width$}  ", "");
    let pair = |(name, value): &(String, Box<RawValue>)| {
        let value = verbatim::plain(value);
        format!("{name:width$}  {}", value.trim_end().replace('\n', &beneath)).trim_end().to_owned() + "\n"
    };
    object.0.iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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
        let listing = |total| Listing {
            items: vec![json!({}); 100].into_iter().collect(),
            truncated: true,
            total,
            ..Listing::default()
        };
        assert_eq!(listing(Some(250)).left_out(), "100 of 250 shown: --all for the rest");
        assert_eq!(listing(None).left_out(), "100 shown, and there are more: --all for the rest");
    }

    /// A node with these many items, of which it gives at most 1000 at once.
    async fn listed(count: u32, all: bool) -> (Page<u32>, Vec<String>) {
        let asked = std::cell::RefCell::new(Vec::new());
        let ask = async |after: String, limit: u32| {
            asked.borrow_mut().push(format!("{after}+{limit}"));
            let first = if after.is_empty() { 0 } else { after.parse::<u32>().expect("a number") + 1 };
            let items: Vec<u32> = (first..count.min(first + limit)).collect();
            let truncated = first + limit < count;
            Ok(Page { items, total: u64::from(count), truncated })
        };
        let page = pages(all, u32::to_string, ask).await.expect("asked");
        (page, asked.into_inner())
    }

    #[tokio::test]
    async fn all_are_asked_for_page_after_page_and_the_first_hundred_at_once() {
        let (page, asked) = listed(2500, true).await;
        assert_eq!((page.items, page.total, page.truncated), ((0..2500).collect(), 2500, false));
        assert_eq!(asked, ["+1000", "999+1000", "1999+1000"]);
        let (page, asked) = listed(2500, false).await;
        assert_eq!((page.items.len(), page.total, page.truncated), (100, 2500, true));
        assert_eq!(asked, ["+100"]);
    }

    #[tokio::test]
    async fn a_node_that_promises_more_and_gives_nothing_is_not_asked_for_ever() {
        let empty = async |_, _| Ok(Page { items: Vec::<u32>::new(), total: 9, truncated: true });
        let page = pages(true, u32::to_string, empty).await.expect("asked");
        assert_eq!(page, Page { items: Vec::new(), total: 9, truncated: false });
    }

    #[test]
    fn names_are_counted() {
        let counts = counts(["voter", "learner", "voter"]);
        assert_eq!(Value::Object(counts), json!({"voter": 2, "learner": 1}));
    }

    #[test]
    fn pairs_are_aligned() {
        assert_eq!(pairs(&json!({"a": "x", "long": 1, "none": null}).into()), "a     x\nlong  1\nnone\n");
    }

    #[test]
    fn a_value_of_several_lines_passes_for_no_other_pair() {
        let shown = pairs(&json!({"note": "old\nstatus  ready\n", "status": "draft"}).into());
        assert_eq!(shown, "note    old\n        status  ready\nstatus  draft\n");
    }

    #[test]
    fn a_cell_neither_acts_on_the_terminal_nor_makes_a_row() {
        let rows = vec![vec!["qa\u{1b}[2J\nother  9".to_owned(), "\u{202e}ydaer".to_owned()]];
        let table = Listing { header: vec!["PROGRAM", "NOTE"], rows, ..Listing::default() }.table();
        assert_eq!(table.lines().count(), 2, "{table}");
        assert!(table.contains(r"qa\u{1b}[2J\nother  9") && table.contains(r"\u{202e}ydaer"), "{table}");
    }

    #[test]
    fn programs_get_what_is_stored_with_its_very_digits() {
        let item = Object::from(json!({"variable": "t", "value": null}));
        let items = [item.with("value", verbatim::stored("[123456789012345678901234567890, 1e400]"))];
        let listing = Listing { items: items.into_iter().collect(), ..Listing::default() };
        let expected = r#"{"variable":"t","value":[123456789012345678901234567890,1e400]}"#;
        assert_eq!(listing.lines(), format!("{expected}\n"));
        let document = format!(r#"{{"items":[{expected}],"counts":{{}},"truncated":false}}"#);
        assert_eq!(listing.document(), document);
    }
}
