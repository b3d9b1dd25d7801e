//! Cuts a stream of bytes into lines of bounded length.

/// A longer line is cut in pieces of this length.
const MAXIMUM_LINE_BYTES: usize = 8 * 1024;

#[derive(Debug, Default)]
pub(super) struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// Hands over each line that is now complete. A carriage return before the end is not part of it.
    pub fn cut(&mut self, bytes: &[u8], mut line: impl FnMut(&[u8])) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let end = rest.iter().take(MAXIMUM_LINE_BYTES - self.partial.len()).position(|byte| *byte == b'\n');
            let taken = end.unwrap_or_else(|| rest.len().min(MAXIMUM_LINE_BYTES - self.partial.len()));
            self.partial.extend_from_slice(&rest[..taken]);
            rest = &rest[taken + usize::from(end.is_some())..];
            if end.is_some() || self.partial.len() == MAXIMUM_LINE_BYTES {
                line(self.partial.strip_suffix(b"\r").unwrap_or(&self.partial));
                self.partial.clear();
            }
        }
    }

    /// Hands over what was printed without an end of line.
    pub fn finish(self, mut line: impl FnMut(&[u8])) {
        if !self.partial.is_empty() {
            line(&self.partial);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(pieces: &[&[u8]]) -> Vec<String> {
        let mut found = Vec::new();
        let mut lines = Lines::default();
        for piece in pieces {
            lines.cut(piece, |line| found.push(String::from_utf8_lossy(line).into_owned()));
        }
        lines.finish(|line| found.push(String::from_utf8_lossy(line).into_owned()));
        found
    }

    #[test]
    fn lines_do_not_depend_on_how_the_bytes_arrive() {
        assert_eq!(cut(&[b"one\ntwo\r\n\nthree"]), ["one", "two", "", "three"]);
        assert_eq!(cut(&[b"on", b"e\ntw", b"o\r", b"\n", b"\nthree"]), ["one", "two", "", "three"]);
    }

    #[test]
    fn a_line_without_end_comes_in_pieces() {
        let lengths: Vec<usize> = cut(&[&[b'x'; 20_000]]).iter().map(String::len).collect();
        assert_eq!(lengths, [8192, 8192, 3616]);
    }
}
