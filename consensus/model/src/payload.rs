//! A program that came as a payload: pickled objects of the driver, in a blob that the run's program names.

use crate::Digest;

/// What stands before the digest in `RunSpec::program`.
const PREFIX: &str = "pickle:";

/// The payload's blob of a program reference "pickle:DIGEST"; `None` for references to code.
pub fn payload_of(program: &str) -> Option<Digest> {
    program.strip_prefix(PREFIX)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_digest_of_a_payload_is_one() {
        let digest = Digest::of(b"payload");
        assert_eq!(payload_of(&format!("pickle:{digest}")), Some(digest));
        for code in ["qa.py:qa", "pickle:qa", "pickle:", "module:name"] {
            assert_eq!(payload_of(code), None, "{code}");
        }
    }
}
