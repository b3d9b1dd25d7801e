//! Which results of two runs are of the same example.

use std::collections::{HashMap, VecDeque};

use sha2::{Digest, Sha256};

use super::Scored;
use crate::object::Object;

/// Stands for an example's fields: equal where name for name the JSON texts are equal, in whatever order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RowKey([u8; 32]);

impl RowKey {
    /// Of an example as a node shows it. What was pickled has no fields to compare.
    pub fn of(example: &[u8]) -> Option<Self> {
        let mut fields: Object = serde_json::from_slice(example).ok()?;
        if fields.has("$pickled") {
            return None;
        }
        fields.0.sort_by(|(left, _), (right, _)| left.cmp(right));
        let mut hash = Sha256::new();
        for text in fields.0.iter().flat_map(|(name, value)| [name.as_str(), value.get()]) {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        }
        Some(Self(hash.finalize().into()))
    }
}

/// What results were brought together by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The position in the dataset, which is the same.
    Index,
    /// Equal fields.
    Row,
}

/// Positions in the two lists that belong together, in the order of the first.
#[derive(Debug, PartialEq, Eq)]
pub struct Aligned {
    /// By what.
    pub by: By,
    /// Of the first list, of the second.
    pub pairs: Vec<(usize, usize)>,
}

/// Brings results together. Both lists are in example order. Equal rows that occur several times are paired in their order.
pub fn align(by: By, a: &[Scored], b: &[Scored]) -> Aligned {
    let pairs = match by {
        By::Index => paired(a, b, |scored| Some(scored.index)),
        By::Row => paired(a, b, |scored| scored.row),
    };
    Aligned { by, pairs }
}

fn paired<K: Eq + std::hash::Hash>(
    a: &[Scored],
    b: &[Scored],
    key: impl Fn(&Scored) -> Option<K>,
) -> Vec<(usize, usize)> {
    let mut waiting: HashMap<K, VecDeque<usize>> = HashMap::new();
    for (position, scored) in b.iter().enumerate() {
        if let Some(key) = key(scored) {
            waiting.entry(key).or_default().push_back(position);
        }
    }
    let partner = |(position, scored)| Some((position, waiting.get_mut(&key(scored)?)?.pop_front()?));
    a.iter().enumerate().filter_map(partner).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: &[&str]) -> Vec<Scored> {
        let scored = |(index, row): (u32, &&str)| Scored { row: RowKey::of(row.as_bytes()), ..Scored::new(index, 1.0) };
        (0..).zip(rows).map(scored).collect()
    }

    #[test]
    fn one_dataset_is_aligned_by_position_whatever_is_missing() {
        let (a, b) = ([0, 2, 5].map(|index| Scored::new(index, 1.0)), [2, 3, 5].map(|index| Scored::new(index, 0.0)));
        assert_eq!(align(By::Index, &a, &b).pairs, [(1, 0), (2, 2)]);
    }

    #[test]
    fn equal_rows_meet_wherever_they_stand_and_each_only_once() {
        let a = rows(&[r#"{"q":"x","n":1}"#, r#"{"q":"y"}"#, r#"{"q":"y"}"#, r#"{"q":"z"}"#]);
        let b = rows(&[r#"{"q":"y"}"#, r#"{"n":1, "q":"x"}"#, r#"{"q":"only here"}"#]);
        assert_eq!(align(By::Row, &a, &b).pairs, [(0, 1), (1, 0)], "the second y has no partner");
    }

    #[test]
    fn fields_that_run_into_each_other_are_no_equal_rows() {
        assert_ne!(RowKey::of(br#"{"a":1,"b":2}"#), RowKey::of(br#"{"a":"1b2"}"#));
        assert_ne!(RowKey::of(br#"{"a":1}"#), RowKey::of(br#"{"a":"1"}"#));
    }

    #[test]
    fn what_was_pickled_has_no_partner_by_its_row() {
        let pickled = rows(&[r#"{"$pickled":true}"#]);
        assert_eq!(pickled[0].row, None);
        assert_eq!(align(By::Row, &pickled, &pickled).pairs, []);
        assert_eq!(align(By::Index, &pickled, &pickled).pairs, [(0, 0)]);
    }
}
