//! Files and stdin that a command reads whole: never more than it may use. `/dev/zero` has no end.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use dspex_api::reason;

use crate::error::CommandError;

/// What a definition takes, and what the arguments of a call take.
pub const JSON_BYTES_MAX: usize = 16 << 20;
/// What the value of a variable takes.
pub const VALUE_BYTES_MAX: usize = 16 << 10;
/// Certificates and lists of patterns; a longer file is another one.
pub const TEXT_BYTES_MAX: usize = 1 << 20;

/// The text of a file, or of stdin for `-`, without the end of its last line. `what` it is to be is told where it cannot be read.
pub fn text(source: &str, what: &str, limit: usize) -> Result<String, CommandError> {
    let read = match source {
        "-" => bounded(io::stdin().lock(), limit),
        path => file(Path::new(path), limit),
    };
    let name = if source == "-" { "from stdin" } else { source };
    let bytes = read.map_err(|error| {
        let message = format!("{what} {name}: {error}");
        match error.kind() {
            io::ErrorKind::FileTooLarge => CommandError::because(reason::TOO_LARGE, message),
            _ => CommandError::usage(message),
        }
    })?;
    String::from_utf8(bytes).map_err(|_| CommandError::usage(format!("{what} {name}: it is not UTF-8")))
}

/// The bytes of a file.
pub fn file(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    bounded(File::open(path)?, limit)
}

/// As many bytes as are allowed, and one end of a line that an editor or `echo` has left behind them.
fn bounded(source: impl Read, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    if bytes.len() > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is longer than {}", size(limit))));
    }
    Ok(bytes)
}

fn size(bytes: usize) -> String {
    if bytes.is_multiple_of(1 << 20) { format!("{} MiB", bytes >> 20) } else { format!("{} KiB", bytes >> 10) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit;

    #[test]
    fn what_has_no_end_is_refused_with_its_limit() {
        let error = text("/dev/zero", "the definition", VALUE_BYTES_MAX).expect_err("refused");
        assert_eq!(error.message, "the definition /dev/zero: it is longer than 16 KiB");
        assert_eq!((error.reason.as_ref(), error.exit), (reason::TOO_LARGE, exit::LIMIT));
    }

    #[test]
    fn no_more_is_read_than_a_byte_beyond_the_limit() {
        struct Counted(usize);
        impl Read for Counted {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                buffer.fill(b'x');
                self.0 += buffer.len();
                Ok(buffer.len())
            }
        }
        let mut endless = Counted(0);
        assert!(bounded(&mut endless, 1 << 20).is_err_and(|error| error.to_string().contains("1 MiB")));
        assert_eq!(endless.0, (1 << 20) + 1);
    }

    #[test]
    fn as_much_as_is_allowed_is_read_with_the_end_of_its_last_line() {
        assert_eq!(bounded(&b"abc\n"[..], 3).expect("read"), b"abc");
        assert_eq!(bounded(&b"a\n\n"[..], 3).expect("read"), b"a\n");
        assert!(bounded(&b"abcd"[..], 3).is_err());
    }

    #[test]
    fn what_is_not_there_and_what_is_no_text_is_wrong_usage() {
        let error = text("/nowhere/qa.json", "the definition", 9).expect_err("refused");
        assert!(error.exit == exit::USAGE && error.message.starts_with("the definition /nowhere/qa.json: "), "{error}");
        let bytes = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(bytes.path(), b"\xff").expect("written");
        let error = text(bytes.path().to_str().expect("a path"), "the definition", 9).expect_err("refused");
        assert!(error.exit == exit::USAGE && error.message.ends_with("it is not UTF-8"), "{error}");
    }
}
