//! Two runs side by side, decided over plain data: which of their results belong together, which became better or worse, and
//! whether chance alone would give such a difference.

mod alignment;
mod change;
mod significance;

pub use alignment::{Aligned, By, RowKey, align};
pub use change::{Change, Comparison, Counts, Item, compare};
pub use significance::{Test, sign_flip};

/// An example's result, as much of it as a comparison needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// Its position in its run's dataset.
    pub index: u32,
    /// What is compared.
    pub score: f64,
    /// The score as JSON.
    pub shown: String,
    /// The exception's class, where it failed; the score is the failure score then.
    pub failure: Option<String>,
    /// Stands for the example's fields; `None`: they are not known here.
    pub row: Option<RowKey>,
}

#[cfg(test)]
impl Scored {
    fn new(index: u32, score: f64) -> Self {
        Self { index, score, shown: score.to_string(), failure: None, row: None }
    }
}
