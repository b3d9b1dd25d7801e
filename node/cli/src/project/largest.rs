//! What takes most of a project that is too large: what its owner would leave out first.

use std::collections::BTreeMap;

/// Files and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// How many.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// By which of the two a project is too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// There are too many files.
    Files,
    /// They are too large.
    Bytes,
}

/// How many are named.
const NAMED_MAX: usize = 5;
/// What is less than such a part of the whole changes nothing.
const LEAST_PART: u64 = 20;

/// Totals of a project by path: of its directories, each with all that is beneath it, and of large files.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    of: BTreeMap<String, Total>,
}

impl Totals {
    /// Accounts for a file at this path from the root.
    pub fn add(&mut self, path: &str, bytes: u64) {
        let added = |total: &mut Total| {
            total.files += 1;
            total.bytes = total.bytes.saturating_add(bytes);
        };
        added(self.of.entry(String::new()).or_default());
        for (end, _) in path.match_indices('/') {
            added(self.of.entry(path[..end].to_owned()).or_default());
        }
        // One file is worth a word where it is worth a directory.
        if bytes >= 1 << 20 {
            added(self.of.entry(path.to_owned()).or_default());
        }
    }

    /// Of the whole project.
    pub fn whole(&self) -> Total {
        self.of.get("").copied().unwrap_or_default()
    }

    /// The largest first. Of a directory that is large because of one in it, that one.
    pub fn largest(&self, measure: Measure) -> Vec<(&str, Total)> {
        let weight = |total: &Total| match measure {
            Measure::Files => total.files,
            Measure::Bytes => total.bytes,
        };
        let least = weight(&self.whole()).div_ceil(LEAST_PART).max(1);
        let mut waiting = self.within("");
        let mut found = Vec::new();
        while let Some((path, total)) = waiting.pop() {
            if weight(&total) < least {
                continue;
            }
            let inner = self.within(path);
            // More than four fifths of it.
            if inner.iter().any(|(_, inner)| weight(inner).saturating_mul(5) > weight(&total).saturating_mul(4)) {
                waiting.extend(inner);
            } else {
                found.push((path, total));
            }
        }
        found.sort_by_key(|(path, total)| (std::cmp::Reverse(weight(total)), *path));
        found.truncate(NAMED_MAX);
        found
    }

    fn within(&self, directory: &str) -> Vec<(&str, Total)> {
        let prefix = if directory.is_empty() { String::new() } else { format!("{directory}/") };
        let beneath = self.of.range(prefix.clone()..).take_while(|(path, _)| path.starts_with(&prefix));
        let direct = beneath.filter(|(path, _)| !path.is_empty() && !path[prefix.len()..].contains('/'));
        direct.map(|(path, total)| (path.as_str(), *total)).collect()
    }
}

/// Bytes as people write them.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
        _ => format!("{:.1} GiB", bytes as f64 / 1_073_741_824.0),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn totals(files: impl IntoIterator<Item = (String, u64)>) -> Totals {
        let mut totals = Totals::default();
        files.into_iter().for_each(|(path, bytes)| totals.add(&path, bytes));
        totals
    }

    fn names(totals: &Totals, measure: Measure) -> Vec<&str> {
        totals.largest(measure).into_iter().map(|(path, _)| path).collect()
    }

    #[test]
    fn the_directory_is_named_that_its_owner_would_leave_out() {
        let images = (0..900).map(|n| (format!("data/images/{:02}/{n}.png", n % 30), 10));
        let others = (0..100).map(|n| (format!("logs/{n}"), 10));
        let few = (0..5).map(|n| (format!("src/{n}.py"), 1000));
        let totals = totals(images.chain(others).chain(few));
        assert_eq!(names(&totals, Measure::Files), ["data/images", "logs"]);
        assert_eq!(names(&totals, Measure::Bytes), ["data/images", "src", "logs"]);
        assert_eq!(totals.whole(), Total { files: 1005, bytes: 15_000 });
    }

    #[test]
    fn a_large_file_is_named_itself() {
        let totals =
            totals([("models/m.bin".to_owned(), 1 << 30), ("models/readme".to_owned(), 9), ("a.py".to_owned(), 9)]);
        assert_eq!(names(&totals, Measure::Bytes), ["models/m.bin"]);
    }

    #[test]
    fn sizes_are_written_for_people() {
        let written: Vec<String> = [0, 1023, 1536, 64 << 20, 3 << 30].into_iter().map(size).collect();
        assert_eq!(written, ["0 bytes", "1023 bytes", "1.5 KiB", "64.0 MiB", "3.0 GiB"]);
    }

    proptest! {
        #[test]
        fn what_is_named_is_part_of_the_whole_and_in_order(
            files in proptest::collection::vec(("[ab](/[ab]){0,3}", 0u64..3_000_000), 0..40),
        ) {
            let totals = totals(files.clone());
            prop_assert_eq!(totals.whole().files, files.len() as u64);
            for measure in [Measure::Files, Measure::Bytes] {
                let largest = totals.largest(measure);
                prop_assert!(largest.len() <= NAMED_MAX);
                let weights: Vec<u64> = largest.iter().map(|(_, total)| match measure {
                    Measure::Files => total.files,
                    Measure::Bytes => total.bytes,
                }).collect();
                prop_assert!(weights.is_sorted_by(|one, other| one >= other));
                for (path, total) in largest {
                    prop_assert!(total.files <= totals.whole().files && total.bytes <= totals.whole().bytes, "{}", path);
                }
            }
        }
    }
}
