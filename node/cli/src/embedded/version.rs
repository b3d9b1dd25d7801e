//! A newer program replaces an idle older node; anything else is refused.

use std::cmp::Ordering;

/// The version of this program.
pub const OWN: &str = env!("CARGO_PKG_VERSION");

/// What to do about a node's version.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Use it.
    Same,
    /// Stop it and start one's own.
    Replace,
    /// Tell the person.
    Refuse(String),
}

/// Judges the version of a node that executes `runs` runs.
pub fn compare(node: &str, own: &str, runs: u32) -> Verdict {
    match order(node, own) {
        _ if node == own => Verdict::Same,
        Ordering::Less if runs == 0 => Verdict::Replace,
        Ordering::Less => Verdict::Refuse(format!(
            "the embedded node has the older version {node} and executes {runs} run(s); this is {own}: wait until they end"
        )),
        Ordering::Greater | Ordering::Equal => {
            Verdict::Refuse(format!("the embedded node has the version {node}, but this is {own}: use that version"))
        }
    }
}

/// By numbers; a pre-release comes before its release.
fn order(left: &str, right: &str) -> Ordering {
    let key = |version: &str| {
        let (numbers, pre_release) = match version.split_once('-') {
            Some((numbers, pre_release)) => (numbers.to_owned(), Some(pre_release.to_owned())),
            None => (version.to_owned(), None),
        };
        let numbers: Vec<u64> = numbers.split('.').map(|part| part.parse().unwrap_or(0)).collect();
        (numbers, pre_release.is_none(), pre_release)
    };
    key(left).cmp(&key(right))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_idle_older_node_is_replaced() {
        assert_eq!(compare("0.2.0", "0.2.0", 3), Verdict::Same);
        assert_eq!(compare("0.2.0", "0.10.0", 0), Verdict::Replace);
        assert_eq!(compare("0.2.0-rc.1", "0.2.0", 0), Verdict::Replace);
        assert!(matches!(compare("0.2.0", "0.10.0", 1), Verdict::Refuse(_)));
        assert!(matches!(compare("0.10.0", "0.2.0", 0), Verdict::Refuse(_)));
        assert!(matches!(compare("0.2.0", "0.2.0-rc.1", 0), Verdict::Refuse(_)));
    }
}
