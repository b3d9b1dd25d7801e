//! Destructive verbs ask for the name to be typed, or to be given beforehand.

use std::io::{BufRead, IsTerminal, Write};

use crate::error::CommandError;
use crate::visible;

/// Returns when the person has typed `name`, or said `--yes` beforehand.
pub fn confirm(what: &str, name: &str, yes: bool) -> Result<(), CommandError> {
    if yes { Ok(()) } else { ask(what, name, "pass --yes in scripts") }
}

/// The same for what `--yes` does not cover: it wants the name in scripts, too, as `--confirm`.
pub fn confirm_by_name(what: &str, name: &str, given: Option<&str>) -> Result<(), CommandError> {
    match given {
        Some(given) if given == name => Ok(()),
        Some(given) => {
            Err(CommandError::usage(format!("--confirm {given} does not match {name}: nothing was changed")))
        }
        None => ask(what, name, &format!("--force wants the name, in scripts, too: pass --confirm {name}")),
    }
}

fn ask(what: &str, name: &str, in_scripts: &str) -> Result<(), CommandError> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() || !std::io::stderr().is_terminal() {
        return Err(CommandError::usage(format!(
            "refused to {what} without confirmation: there is no terminal to ask on"
        ))
        .hint(in_scripts));
    }
    let mut stderr = std::io::stderr().lock();
    // The name of a member is what its node says.
    write!(stderr, "This will {} for good.\nType {} to go on: ", visible::text(what), visible::line(name))?;
    stderr.flush()?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer)?;
    if answer.trim() == name {
        return Ok(());
    }
    Err(CommandError::usage("the name does not match: nothing was changed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_was_given_must_be_the_one() {
        assert_eq!(confirm_by_name("remove", "node-1", Some("node-1")), Ok(()));
        let error = confirm_by_name("remove", "node-1", Some("node-2")).expect_err("another one");
        assert!(error.exit == crate::exit::USAGE && error.message.contains("nothing was changed"), "{error}");
        assert_eq!(confirm("remove", "node-1", true), Ok(()));
    }
}
