//! What became of each example.

use super::{Aligned, Scored, Test, sign_flip};

/// How an example's score differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// It is lower in the second run. First, because it is what is looked for.
    Regressed,
    /// It is higher in the second run.
    Improved,
    /// One of the two is not a number.
    Incomparable,
    /// It is the same.
    Unchanged,
}

impl Change {
    /// The word for people and scripts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Regressed => "regressed",
            Self::Improved => "improved",
            Self::Incomparable => "incomparable",
            Self::Unchanged => "unchanged",
        }
    }

    fn of(difference: f64) -> Self {
        match difference {
            difference if !difference.is_finite() => Self::Incomparable,
            difference if difference < 0.0 => Self::Regressed,
            difference if difference > 0.0 => Self::Improved,
            _ => Self::Unchanged,
        }
    }
}

/// How many examples there are of each kind.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Examples with a result in both runs.
    pub aligned: u32,
    /// Of these: by their scores.
    pub improved: u32,
    /// The same.
    pub regressed: u32,
    /// The same.
    pub unchanged: u32,
    /// The same.
    pub incomparable: u32,
    /// Aligned examples that failed in the first run.
    pub failed_a: u32,
    /// Aligned examples that failed in the second run.
    pub failed_b: u32,
    /// Results of the first run without a partner.
    pub only_a: u32,
    /// Results of the second run without a partner.
    pub only_b: u32,
}

/// An example that changed: in its score, or in whether and how it failed.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// In the first run.
    pub a: Scored,
    /// In the second run.
    pub b: Scored,
    /// By the scores.
    pub change: Change,
}

impl Item {
    /// Of the scores, where both are numbers.
    pub fn difference(&self) -> Option<f64> {
        Some(self.b.score - self.a.score).filter(|difference| difference.is_finite())
    }
}

/// Two runs side by side.
#[derive(Debug, PartialEq)]
pub struct Comparison {
    /// How many of each kind.
    pub counts: Counts,
    /// `None`: no two scores could be compared.
    pub test: Option<Test>,
    /// What changed: what is worse first, then in example order.
    pub items: Vec<Item>,
}

/// Compares what belongs together.
pub fn compare(a: &[Scored], b: &[Scored], aligned: &Aligned) -> Comparison {
    let mut counts = Counts {
        aligned: aligned.pairs.len() as u32,
        only_a: (a.len() - aligned.pairs.len()) as u32,
        only_b: (b.len() - aligned.pairs.len()) as u32,
        ..Counts::default()
    };
    let (mut differences, mut items) = (Vec::new(), Vec::new());
    for (left, right) in aligned.pairs.iter().map(|&(left, right)| (&a[left], &b[right])) {
        let difference = right.score - left.score;
        let change = Change::of(difference);
        match change {
            Change::Regressed => counts.regressed += 1,
            Change::Improved => counts.improved += 1,
            Change::Incomparable => counts.incomparable += 1,
            Change::Unchanged => counts.unchanged += 1,
        }
        counts.failed_a += u32::from(left.failure.is_some());
        counts.failed_b += u32::from(right.failure.is_some());
        if change != Change::Incomparable {
            differences.push(difference);
        }
        if change != Change::Unchanged || left.failure != right.failure {
            items.push(Item { a: left.clone(), b: right.clone(), change });
        }
    }
    items.sort_by_key(|item| (item.change, item.a.index));
    Comparison { counts, test: sign_flip(&differences), items }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comparison::{By, align};

    fn scored(scores: &[f64]) -> Vec<Scored> {
        (0..).zip(scores).map(|(index, score)| Scored::new(index, *score)).collect()
    }

    fn compared(a: &[Scored], b: &[Scored]) -> Comparison {
        compare(a, b, &align(By::Index, a, b))
    }

    #[test]
    fn every_aligned_example_is_of_one_kind_and_what_is_worse_comes_first() {
        let (a, b) = (scored(&[1.0, 0.0, 0.5, 1.0, f64::NAN]), scored(&[1.0, 1.0, 0.25, 0.0]));
        let b = [b, vec![Scored::new(4, 1.0), Scored::new(9, 1.0)]].concat();
        let Comparison { counts, test, items } = compared(&a, &b);
        let expected = Counts {
            aligned: 5,
            improved: 1,
            regressed: 2,
            unchanged: 1,
            incomparable: 1,
            only_b: 1,
            ..Counts::default()
        };
        assert_eq!(counts, expected);
        let shown: Vec<(u32, &str)> = items.iter().map(|item| (item.a.index, item.change.name())).collect();
        assert_eq!(shown, [(2, "regressed"), (3, "regressed"), (1, "improved"), (4, "incomparable")]);
        assert_eq!(items[3].difference(), None);
        assert_eq!(test.expect("four scores").difference, (1.0 - 0.25 - 1.0) / 4.0);
    }

    #[test]
    fn an_example_that_fails_no_more_has_changed_even_at_an_equal_score() {
        let (mut a, b) = (scored(&[0.0, 0.0]), scored(&[0.0, 0.0]));
        a[1].failure = Some("builtins.ValueError".to_owned());
        let Comparison { counts, items, .. } = compared(&a, &b);
        assert_eq!((counts.unchanged, counts.failed_a, counts.failed_b), (2, 1, 0));
        assert_eq!((items.len(), items[0].a.index, items[0].change), (1, 1, Change::Unchanged));
    }

    #[test]
    fn without_two_numbers_there_is_no_test() {
        let comparison = compared(&scored(&[f64::NAN]), &scored(&[1.0]));
        assert_eq!((comparison.test, comparison.counts.incomparable), (None, 1));
    }
}
