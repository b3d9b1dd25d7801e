//! What came of a promise: what was looked at, and what is wrong.

use std::fmt;

/// A promise after it was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The promise, a short name.
    pub promise: &'static str,
    /// How much was looked at: a green check of nothing is worth nothing.
    pub looked_at: String,
    /// Each way in which it was broken.
    pub broken: Vec<String>,
}

impl Finding {
    pub(crate) fn new(promise: &'static str, looked_at: impl Into<String>, broken: Vec<String>) -> Self {
        Self { promise, looked_at: looked_at.into(), broken }
    }

    /// Whether the promise was kept.
    pub fn is_kept(&self) -> bool {
        self.broken.is_empty()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.is_kept() { "kept  " } else { "BROKEN" };
        write!(f, "{verdict}  {}: {}", self.promise, self.looked_at)?;
        self.broken.iter().try_for_each(|broken| write!(f, "\n{}", indented(broken)))
    }
}

fn indented(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| format!("          {line}")).collect();
    lines.join("\n")
}
