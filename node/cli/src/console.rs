//! stderr: notes, warnings, errors, progress and the program's own prints, above the progress bar where there is one. The colours are
//! ours alone: whatever a node or a program says is shown, and does not act on the terminal.

use std::cell::RefCell;
use std::io::{IsTerminal, Write};

use indicatif::ProgressBar;

use crate::error::CommandError;
use crate::visible;

const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[1;33m";
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

/// The person's side of stderr. Colours go through anstream, which honours NO_COLOR and drops them off a terminal.
#[derive(Debug, Default, Clone)]
pub struct Console {
    quiet: bool,
    verbose: u8,
    bar: RefCell<Option<ProgressBar>>,
}

impl Console {
    /// `quiet` leaves out notes and progress.
    pub fn new(quiet: bool, verbose: u8) -> Self {
        Self { quiet, verbose, bar: RefCell::new(None) }
    }

    /// Whether notes and progress are left out.
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Whether a progress bar can be drawn.
    pub fn is_terminal(&self) -> bool {
        std::io::stderr().is_terminal()
    }

    /// Lines printed from now on stand above this bar.
    pub fn set_bar(&self, bar: Option<ProgressBar>) {
        *self.bar.borrow_mut() = bar;
    }

    /// What is good to know.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            self.write(&format!("{DIM}{}{PLAIN}\n", visible::text(text)));
        }
    }

    /// What is good to know when something is looked into.
    pub fn detail(&self, text: &str) {
        if self.verbose > 0 {
            self.write(&format!("{DIM}{}{PLAIN}\n", visible::text(text)));
        }
    }

    /// What may be wrong.
    pub fn warning(&self, text: &str) {
        self.write(&format!("{YELLOW}warning:{PLAIN} {}\n", visible::text(text)));
    }

    /// What is said in any case.
    pub fn line(&self, text: &str) {
        self.write(&format!("{}\n", visible::text(text)));
    }

    /// Text with its own ends of lines.
    pub fn raw(&self, text: &str) {
        self.write(&visible::text(text));
    }

    /// Why the command ends.
    pub fn error(&self, error: &CommandError) {
        if error.message.is_empty() {
            return;
        }
        self.write(&told(error));
    }

    /// A closed stderr is no reason to stop working.
    fn write(&self, text: &str) {
        let print = || {
            let mut stream = anstream::stderr().lock();
            let _ = stream.write_all(text.as_bytes()).and_then(|()| stream.flush());
        };
        match &*self.bar.borrow() {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }
}

fn told(error: &CommandError) -> String {
    let reason = match error.reason.as_ref() {
        "" => String::new(),
        reason => visible::line(&format!("[{reason}]")).into_owned(),
    };
    let mut text = String::new();
    if let Some(traceback) = &error.traceback {
        text.push_str(&visible::text(traceback.trim_end()));
        text.push('\n');
    }
    text.push_str(&format!("{RED}error{reason}:{PLAIN} {}\n", visible::text(&error.message)));
    if let Some(hint) = &error.hint {
        text.push_str(&format!("hint: {}\n", visible::text(hint)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_node_says_acts_on_the_terminal() {
        let hostile = "x\u{1b}]0;title\u{7}\u{202e}\ry";
        let error = CommandError {
            reason: hostile.to_owned().into(),
            traceback: Some(format!("Traceback\n  {hostile}")),
            ..CommandError::usage(hostile).hint(hostile)
        };
        let told = told(&error);
        let ours = told.replace(RED, "").replace(PLAIN, "");
        assert!(
            !ours.contains(|letter: char| letter.is_control() && letter != '\n') && !ours.contains('\u{202e}'),
            "{ours:?}"
        );
        assert_eq!(ours.matches(r"x\u{1b}]0;title\u{7}\u{202e}\ry").count(), 4, "{ours}");
    }
}
