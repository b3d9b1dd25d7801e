//! Calls in sessions of the embedded node: with the caller's own environment.

use std::os::unix::fs::PermissionsExt;

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

#[test]
fn sessions_have_a_limit_of_time_of_their_own() {
    let (home, project) = (Home::new(), Project::new(""));
    project
        .file("commands.py", format!("{COMMANDS}\n\ndef nap(seconds):\n    time.sleep(seconds)\n    return seconds\n"));
    std::fs::create_dir(home.path()).expect("a directory");
    std::fs::set_permissions(home.path(), PermissionsExt::from_mode(0o700)).expect("a mode");
    let settings = "[pools.general]\nexecution_timeout_s = 120\n[sessions]\nexecution_timeout_s = 4\n";
    std::fs::write(home.path().join("dspex.toml"), settings).expect("a file");
    home.dspex(&["session", "create", "s"]).run().expect(0);
    let call = |verbs: &[&str], seconds: &str| {
        let arguments = format!("{{\"seconds\": {seconds}}}");
        home.dspex(verbs).args(["commands.py:nap", &arguments]).directory(project.directory()).run()
    };
    call(&["session", "execute", "s"], "60").expect(1).says("CALL_TIMED_OUT");
    call(&["session", "execute", "s"], "0").expect(0);
    call(&["pool", "call", "general"], "6").expect(0);
}
