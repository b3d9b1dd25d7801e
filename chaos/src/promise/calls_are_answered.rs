//! Code that is called in sessions is executed, and what it changes is there: the history shows the latter, and this that there was something.

use crate::finding::Finding;
use crate::traffic::Recording;

/// Looks for calls that were answered.
pub fn check(recording: &Recording) -> Finding {
    let none =
        "no call in a session was answered: nothing was tested. The nodes need an interpreter that has DSPy (--python)";
    let broken = if recording.calls == 0 { vec![none.to_owned()] } else { Vec::new() };
    Finding::new("calls are answered", format!("{} calls that changed sessions", recording.calls), broken)
}
