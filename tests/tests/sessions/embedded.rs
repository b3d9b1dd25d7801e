//! Calls in sessions of the embedded node: with the caller's own environment.

use dspex_tests::{Home, Project};

use crate::subject::COMMANDS;

#[test]
fn a_session_of_the_embedded_node_is_executed_with_its_callers_environment() {
    let (home, project) = (Home::new(), Project::new(""));
    project.file("commands.py", format!("{COMMANDS}\n\ndef colour():\n    return os.environ.get(\"COLOUR\")\n"));
    home.dspex(&["session", "create", "s"]).run().expect(0);
    let call = |name: &str, colour: &str| {
        let command = format!("commands.py:{name}");
        let execute = home.dspex(&["session", "execute", "s", &command]).directory(project.directory());
        execute.env("COLOUR", colour).run().expect(0).stdout
    };
    assert_eq!(call("colour", "red"), "red\n");
    assert_eq!(call("colour", "blue"), "blue\n");
    assert_eq!(call("count", "red"), "1\n");
    // Nothing of the session was in the worker.
    assert_eq!(call("count", "blue"), "2\n");
}
