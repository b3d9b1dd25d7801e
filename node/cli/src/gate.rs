//! `--fail-under`: the score below which the command exits with 3.

use std::str::FromStr;

use crate::echo::quoted;

/// A score in percent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gate {
    /// What the score must reach.
    pub percent: f64,
}

impl Gate {
    /// Whether the score is good enough. A score that is not a number never is.
    pub fn is_met(self, score: f64) -> bool {
        score >= self.percent
    }
}

impl FromStr for Gate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, marked) = match text.trim().strip_suffix('%') {
            Some(number) => (number.trim_end(), true),
            None => (text.trim(), false),
        };
        let percent: f64 =
            number.parse().map_err(|_| format!("{} is not a number of percent, such as 80 or 80%", quoted(text)))?;
        if !percent.is_finite() {
            return Err(format!("{} is not a finite number", quoted(text)));
        }
        if !marked && percent > 0.0 && percent <= 1.0 {
            return Err(format!(
                "scores are in percent: write {}% if you mean the share {number}, or {number}% if you mean it so",
                (percent * 1e8).round() / 1e6
            ));
        }
        Ok(Self { percent })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_is_taken_with_and_without_its_sign() {
        for (text, percent) in
            [("80", 80.0), ("80%", 80.0), (" 62.5 % ", 62.5), ("0", 0.0), ("0.5%", 0.5), ("1.5", 1.5), ("-3", -3.0)]
        {
            assert_eq!(text.parse(), Ok(Gate { percent }), "{text}");
        }
    }

    #[test]
    fn a_share_is_refused_with_the_percent_it_may_mean() {
        for text in ["0.8", "1", "1.0", "0.001"] {
            let error = text.parse::<Gate>().expect_err(text);
            assert!(error.contains("percent"), "{error}");
        }
        assert!("0.8".parse::<Gate>().expect_err("share").contains("80%"));
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", "%", "good", "nan", "inf", "80%%"] {
            assert!(text.parse::<Gate>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_score_may_equal_the_gate() {
        let gate = Gate { percent: 80.0 };
        assert!(gate.is_met(80.0) && !gate.is_met(79.99) && !gate.is_met(f64::NAN));
    }
}
