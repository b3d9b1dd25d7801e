//! A stored value with what only the driver may open behind it: JSON, then a zero byte (which JSON never holds), then a pickle.

/// Puts the two together.
pub(crate) fn join(mut json: Vec<u8>, returned: Option<&[u8]>) -> Vec<u8> {
    if let Some(returned) = returned {
        json.push(0);
        json.extend_from_slice(returned);
    }
    json
}

/// The JSON, and what was returned to the driver; empty when nothing was.
pub fn split_returned(stored: &[u8]) -> (&[u8], &[u8]) {
    match stored.iter().position(|byte| *byte == 0) {
        Some(end) => (&stored[..end], &stored[end + 1..]),
        None => (stored, &[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_joined_is_split_again() {
        assert_eq!(split_returned(&join(b"{}".to_vec(), None)), (&b"{}"[..], &b""[..]));
        assert_eq!(split_returned(&join(b"{}".to_vec(), Some(b"\x80\0\0"))), (&b"{}"[..], &b"\x80\0\0"[..]));
    }
}
