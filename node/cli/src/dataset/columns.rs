//! The columns of a dataset, and where one is missing first.

use std::collections::HashMap;

use dspex_api::v1::Column;

/// More different names than this are data used as keys, not columns.
const COLUMN_LIMIT: usize = 4096;

/// Collects the names of the rows' fields in order of appearance.
#[derive(Debug, Default)]
pub struct Columns {
    items: Vec<Seen>,
    index: HashMap<String, usize>,
    rows: u64,
    first_line: u64,
}

#[derive(Debug)]
struct Seen {
    name: String,
    first_row_without: u64,
    last_row: u64,
}

impl Columns {
    /// Notes the fields of the row that stands at `line`; fails when there are too many columns.
    pub fn add<'a>(&mut self, line: u64, names: impl Iterator<Item = &'a str>) -> Result<(), String> {
        self.rows += 1;
        if self.rows == 1 {
            self.first_line = line;
        }
        for name in names {
            match self.index.get(name) {
                Some(&position) => self.items[position].last_row = self.rows,
                None => self.insert(name)?,
            }
        }
        for seen in &mut self.items {
            if seen.last_row != self.rows && seen.first_row_without == 0 {
                seen.first_row_without = line;
            }
        }
        Ok(())
    }

    fn insert(&mut self, name: &str) -> Result<(), String> {
        if self.items.len() == COLUMN_LIMIT {
            return Err(format!("the rows have more than {COLUMN_LIMIT} different fields"));
        }
        self.index.insert(name.to_owned(), self.items.len());
        self.items.push(Seen {
            name: name.to_owned(),
            first_row_without: if self.rows == 1 { 0 } else { self.first_line },
            last_row: self.rows,
        });
        Ok(())
    }

    /// The columns for the wire.
    pub fn finish(self) -> Vec<Column> {
        self.items
            .into_iter()
            .map(|seen| Column { name: seen.name, first_row_without: seen.first_row_without })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_row_without_a_column_is_told() -> Result<(), String> {
        let mut columns = Columns::default();
        columns.add(1, ["a", "b"].into_iter())?;
        columns.add(3, ["a", "c"].into_iter())?;
        columns.add(4, ["a"].into_iter())?;
        let found: Vec<_> =
            columns.finish().into_iter().map(|column| (column.name, column.first_row_without)).collect();
        assert_eq!(found, [("a".into(), 0), ("b".into(), 3), ("c".into(), 1)]);
        Ok(())
    }

    #[test]
    fn data_used_as_keys_is_refused() {
        let mut columns = Columns::default();
        let refused = (0..=COLUMN_LIMIT as u64).find_map(|line| {
            let name = line.to_string();
            columns.add(line + 1, std::iter::once(name.as_str())).err()
        });
        assert!(refused.is_some());
    }
}
