//! Units of `dspex.toml`: seconds with a fraction, and sizes as numbers of bytes or as text ("512MiB").

use std::time::Duration;

use serde::Deserialize;

/// A century stands for "for ever", and keeps sums of times from overflowing.
pub(super) const SECONDS_END: f64 = 3_155_760_000.0;

/// Seconds; what 0 means is said by the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "f64")]
pub(super) struct Seconds(pub Duration);

impl TryFrom<f64> for Seconds {
    type Error = String;

    fn try_from(seconds: f64) -> Result<Self, String> {
        let time = Duration::try_from_secs_f64(seconds).ok().filter(|_| seconds < SECONDS_END);
        time.map(Self).ok_or_else(|| format!("{seconds} is not a number of seconds"))
    }
}

/// Bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "WrittenSize")]
pub(super) struct Size(pub u64);

/// As a number or as "512MiB".
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum WrittenSize {
    Bytes(u64),
    Text(String),
}

impl TryFrom<WrittenSize> for Size {
    type Error = String;

    fn try_from(written: WrittenSize) -> Result<Self, String> {
        let bytes = match &written {
            WrittenSize::Bytes(bytes) => Some(*bytes),
            WrittenSize::Text(text) => of_text(text.trim()),
        };
        bytes.filter(|bytes| *bytes > 0).map(Self).ok_or_else(|| format!("{written:?} is not a size"))
    }
}

fn of_text(text: &str) -> Option<u64> {
    let end = text.find(|one: char| !one.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor: u64 = match unit.trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_bytes_with_or_without_a_unit() {
        let size = |text: &str| Size::try_from(WrittenSize::Text(text.to_owned())).map(|size| size.0).ok();
        assert_eq!(
            (size("512MiB"), size(" 2 GiB "), size("7"), size("1KiB")),
            (Some(512 << 20), Some(2 << 30), Some(7), Some(1024))
        );
        for refused in ["", "0", "lots", "1.5GiB", "1GB", "99999999999GiB", "-1"] {
            assert_eq!(size(refused), None, "{refused}");
        }
        assert!(Size::try_from(WrittenSize::Bytes(0)).is_err());
    }

    #[test]
    fn seconds_are_finite_and_not_negative() {
        assert_eq!(Seconds::try_from(0.5), Ok(Seconds(Duration::from_millis(500))));
        assert_eq!(Seconds::try_from(0.0), Ok(Seconds(Duration::ZERO)));
        for refused in [-1.0, f64::NAN, f64::INFINITY, SECONDS_END] {
            assert!(Seconds::try_from(refused).is_err(), "{refused}");
        }
    }
}
