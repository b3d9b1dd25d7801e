//! Destructive verbs ask for the name to be typed.

use std::io::{BufRead, IsTerminal, Write};

use crate::error::CommandError;

/// Returns when the person has typed `name`, or said `--yes` beforehand.
pub fn confirm(what: &str, name: &str, yes: bool) -> Result<(), CommandError> {
    if yes {
        return Ok(());
    }
    let stdin = std::io::stdin();
    if !stdin.is_terminal() || !std::io::stderr().is_terminal() {
        return Err(CommandError::usage(format!(
            "refused to {what} without confirmation: there is no terminal to ask on"
        ))
        .hint("pass --yes in scripts"));
    }
    let mut stderr = std::io::stderr().lock();
    write!(stderr, "This will {what} for good.\nType {name} to go on: ")?;
    stderr.flush()?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer)?;
    if answer.trim() == name {
        return Ok(());
    }
    Err(CommandError::usage("the name does not match: nothing was changed"))
}
