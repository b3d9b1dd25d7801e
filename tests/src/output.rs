//! What a command printed and how it ended.

use std::time::Duration;

use serde_json::Value;

/// The end of a command.
#[derive(Debug, Clone)]
pub struct Output {
    /// The command as a person would type it.
    pub command: String,
    /// The exit code; none after a signal.
    pub code: Option<i32>,
    /// Data.
    pub stdout: String,
    /// Everything else.
    pub stderr: String,
    /// From start to end.
    pub took: Duration,
}

impl Output {
    /// The exit code must be this one.
    ///
    /// # Panics
    /// When it is another one, with everything that was printed.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert!(self.code == Some(code), "the exit code should be {code}\n{}", self.describe());
        self
    }

    /// stderr must hold this phrase.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn says(&self, phrase: &str) -> &Self {
        assert!(self.stderr.contains(phrase), "stderr should say {phrase:?}\n{}", self.describe());
        self
    }

    /// stderr must not hold this phrase.
    ///
    /// # Panics
    /// When it does.
    #[track_caller]
    pub fn does_not_say(&self, phrase: &str) -> &Self {
        assert!(!self.stderr.contains(phrase), "stderr should not say {phrase:?}\n{}", self.describe());
        self
    }

    /// The object that stdout consists of.
    ///
    /// # Panics
    /// When stdout is anything but one JSON value.
    #[track_caller]
    pub fn object(&self) -> Value {
        match serde_json::from_str(&self.stdout) {
            Ok(value) => value,
            Err(error) => panic!("stdout should be one JSON value: {error}\n{}", self.describe()),
        }
    }

    /// The objects that stdout consists of, one a line.
    ///
    /// # Panics
    /// When a line is not JSON.
    #[track_caller]
    pub fn objects(&self) -> Vec<Value> {
        let parse = |line: &str| match serde_json::from_str(line) {
            Ok(value) => value,
            Err(error) => panic!("every line of stdout should be JSON: {error}\n{}", self.describe()),
        };
        self.stdout.lines().map(parse).collect()
    }

    /// All of it, for the message of a failed test.
    pub fn describe(&self) -> String {
        format!(
            "$ {}\nexit code {:?} after {:.1} s\n--- stdout\n{}\n--- stderr\n{}",
            self.command,
            self.code,
            self.took.as_secs_f64(),
            shortened(&self.stdout),
            shortened(&self.stderr)
        )
    }
}

/// Programs of these suites print megabytes on purpose.
fn shortened(text: &str) -> String {
    const MOST: usize = 8000;
    if text.len() <= MOST {
        return text.to_owned();
    }
    let head = text.floor_char_boundary(MOST / 2);
    let tail = text.ceil_char_boundary(text.len() - MOST / 2);
    format!("{}\n[...]\n{}", &text[..head], &text[tail..])
}
