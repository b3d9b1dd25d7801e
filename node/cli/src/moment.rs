//! Moments on the command line: so long ago, or a date.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::echo::quoted;

use chrono::DateTime;

/// Unix milliseconds of "90s", "30m", "2h", "7d" ago, or of a date like 2026-11-22T10:00:00Z.
pub fn moment(text: &str) -> Result<u64, String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    moment_at(text, now)
}

fn moment_at(text: &str, now: Duration) -> Result<u64, String> {
    let wrong =
        || format!("{} is no moment: write 90s, 30m, 2h or 7d for so long ago, or 2026-11-22T10:00:00Z", quoted(text));
    let milliseconds = match ago(text) {
        Some(ago) => now.saturating_sub(ago).as_millis(),
        None => {
            let date = DateTime::parse_from_rfc3339(text).map_err(|_| wrong())?;
            u128::try_from(date.timestamp_millis()).map_err(|_| wrong())?
        }
    };
    u64::try_from(milliseconds).map_err(|_| wrong())
}

fn ago(text: &str) -> Option<Duration> {
    let unit = match text.chars().last()? {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 24 * 3600,
        _ => return None,
    };
    let number: u64 = text[..text.len() - 1].parse().ok()?;
    Some(Duration::from_secs(number.checked_mul(unit)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_so_long_ago_or_a_date() {
        let now = Duration::from_secs(1_000_000);
        for (text, seconds) in [
            ("90s", 999_910),
            ("2m", 999_880),
            ("1h", 996_400),
            ("1d", 913_600),
            ("400d", 0),
            ("1970-01-01T00:01:00Z", 60),
            ("1970-01-01T01:01:00+01:00", 60),
        ] {
            assert_eq!(moment_at(text, now), Ok(seconds * 1000), "{text}");
        }
        for text in
            ["", "s", "5", "-5m", "1.5h", "yesterday", "1960-01-01T00:00:00Z", "99999999999999999999d", "2026-11-22"]
        {
            let error = moment_at(text, now).expect_err(text);
            assert!(error.contains("7d"), "{error}");
        }
    }
}
