//! Names that are none, wherever a name may stand.

use dspex_api::v1::{CreateSessionRequest, DeleteProgramRequest, ListProgramsRequest, SetVariableRequest};
use dspex_api::{ApiError, reason};
use dspex_tests::{Cluster, Home};

use crate::request::{get, id, put};

const BAD: [(&str, &str); 14] = [
    ("", "1 to 255 bytes"),
    ("../etc/passwd", "no path"),
    ("a/b", "no path"),
    ("a\\b", "no path"),
    ("..", "no path"),
    ("nul\0", "U+0000"),
    ("line\n", "U+000A"),
    ("zero\u{200b}width", "U+200B"),
    ("\u{202e}desrever", "U+202E"),
    (" qa", "a space"),
    // Cyrillic.
    ("q\u{430}", "Cyrillic and Latin"),
    ("ｑａ", "write \"qa\""),
    ("u\u{308}", "another way"),
    ("\u{e000}", "U+E000"),
];

#[test]
fn a_bad_name_is_refused_wherever_a_name_may_stand_and_shown_escaped() {
    let cluster = Cluster::of(1);
    let long = "x".repeat(10_000);
    for (name, says) in BAD.iter().copied().chain([(long.as_str(), "not 10000")]) {
        let refused = |error: ApiError, call: &str| {
            assert_eq!(error.reason, reason::NAME_INVALID, "{call} of {name:?}: {error}");
            assert!(error.message.contains(says), "{call} of {name:?}: {error}");
            let deceives =
                |character: char| character.is_control() || ['\u{200b}', '\u{202e}', '\u{e000}'].contains(&character);
            assert!(!error.message.contains(deceives) && error.message.len() < 400, "{:?}", error.message);
        };
        let variable = SetVariableRequest {
            request_id: id(1),
            name: name.to_owned(),
            value: "1".to_owned(),
            ..Default::default()
        };
        let after = ListProgramsRequest { after: name.to_owned(), ..ListProgramsRequest::default() };
        let delete =
            DeleteProgramRequest { request_id: id(1), name: name.to_owned(), ..DeleteProgramRequest::default() };
        refused(
            cluster.ask(0, async |client| client.put_program(put(1, name, "q -> a")).await).expect_err(name),
            "put",
        );
        refused(cluster.ask(0, async |client| client.program(get(name)).await).expect_err(name), "get");
        refused(cluster.ask(0, async |client| client.delete_program(delete).await).expect_err(name), "delete");
        refused(cluster.ask(0, async |client| client.set_variable(variable).await).expect_err(name), "set");
        if !name.is_empty() {
            refused(cluster.ask(0, async |client| client.list_programs(after).await).expect_err(name), "list");
        }
    }
    let listed = cluster.ask(0, async |client| client.list_programs(ListProgramsRequest::default()).await);
    assert_eq!(listed.expect("listed").total, 0, "nothing was stored");
}

#[test]
fn a_new_session_is_held_to_the_same_rules() {
    let cluster = Cluster::of(1);
    for (name, says) in BAD.into_iter().filter(|(name, _)| !name.is_empty()) {
        let request =
            CreateSessionRequest { request_id: id(1), session_id: name.to_owned(), ..CreateSessionRequest::default() };
        let error = cluster.ask(0, async |client| client.create_session(request).await).expect_err(name);
        // What no session was ever called has the older reason.
        let is_older = name.trim() != name || name.chars().any(char::is_control);
        let (reason, says) =
            if is_older { (reason::REQUEST_INVALID, "printable") } else { (reason::NAME_INVALID, says) };
        assert_eq!(error.reason, reason, "{name:?}: {error}");
        assert!(error.message.contains(says), "{name:?}: {error}");
        assert!(!error.message.contains(['\u{200b}', '\u{202e}']), "{:?}", error.message);
    }
    let listed = cluster.dspex(0, &["session", "list", "-o", "json"]).run().expect(0).object();
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(0), "nothing was stored");
}

#[test]
fn names_of_all_languages_are_names() {
    let home = Home::new();
    for name in ["größe", "рецепт", "質問に答える", "qa v2"] {
        home.dspex(&["program", "put", name, "--signature", "q -> a"]).run().expect(0);
        home.dspex(&["program", "show", name]).run().expect(0);
    }
    home.dspex(&["program", "put", "q\u{430}", "--signature", "q -> a"]).run().expect(2).says("NAME_INVALID");
}
