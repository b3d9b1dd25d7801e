//! What commands take and what they print: nothing empty, nothing without an end, every digit, and nothing that acts on a terminal.

use dspex_tests::{Home, Output};

const LONG: &str = "123456789012345678901234567890";

fn dspex(home: &Home, arguments: &[&str]) -> Output {
    home.dspex(arguments).run()
}

fn acts_on_a_terminal(text: &str) -> bool {
    text.contains(|letter: char| (letter.is_control() && letter != '\n') || letter == '\u{202e}')
}

#[test]
fn stored_values_are_printed_with_the_digits_that_were_typed() {
    let home = Home::new();
    let put = ["program", "put", "qa", "--signature", "q -> a", "--set"];
    dspex(&home, &[&put[..], &[&format!("seed=[{LONG}, 1.10]")]].concat()).expect(0);
    dspex(&home, &["variable", "set", "seed", LONG]).expect(0);
    dspex(&home, &["session", "create", "s", "--set", &format!("seed={LONG}")]).expect(0);
    let shown = |arguments: &[&str]| dspex(&home, &[arguments, &["-o", "json"]].concat()).expect(0).stdout;
    assert!(shown(&["program", "show", "qa"]).contains(&format!(r#""variables":{{"seed":[{LONG},1.10]}}"#)));
    assert!(shown(&["program", "history", "qa"]).contains(&format!(r#""variables":{{"seed":[{LONG},1.10]}}"#)));
    for command in [&["variable", "show", "seed"][..], &["variable", "list"], &["variable", "history", "seed"]] {
        assert!(shown(command).contains(&format!(r#""value":{LONG}"#)), "{command:?}");
    }
    for command in [&["session", "show", "s"][..], &["session", "history", "s"]] {
        assert!(shown(command).contains(&format!(r#""data":{{"seed":{LONG}}}"#)), "{command:?}");
    }
}

#[test]
fn a_note_neither_acts_on_the_terminal_of_its_reader_nor_passes_for_a_line_of_ours() {
    let home = Home::new();
    let note = "\u{1b}[2Jx\u{7}\r\u{202e}y\nstatus  ready";
    dspex(&home, &["program", "put", "qa", "--signature", "q -> a", "--note", note]).expect(0);
    for command in [&["program", "show", "qa"][..], &["program", "history", "qa"], &["program", "list"]] {
        let shown = dspex(&home, command).expect(0).stdout;
        assert!(!acts_on_a_terminal(&shown), "{shown:?}");
        assert!(!shown.lines().any(|line| line.starts_with("status  ready")), "{shown}");
    }
    assert!(dspex(&home, &["program", "show", "qa"]).expect(0).stdout.contains(r"\u{1b}[2Jx\u{7}\r\u{202e}y"));
    assert_eq!(dspex(&home, &["program", "show", "qa", "-o", "json"]).expect(0).object()["note"], note);
    let refused = dspex(&home, &["program", "show", "a\u{1b}[2Jb\u{202e}"]);
    assert!(refused.code != Some(0) && !acts_on_a_terminal(&refused.stderr), "{:?}", refused.stderr);
}

#[test]
fn an_empty_id_or_name_is_wrong_usage_and_means_nobody() {
    let home = Home::new();
    dspex(&home, &["program", "put", "qa", "--signature", "q -> a"]).expect(0);
    for command in [
        &["program", "show", "qa", "--session", ""][..],
        &["program", "delete", "qa", "--session", "", "--yes"],
        &["program", "list", "--session", ""],
        &["program", "put", "", "--signature", "q -> a"],
        &["execution", "list", "--program", ""],
        &["session", "create", ""],
        &["session", "stats", ""],
        &["variable", "show", ""],
        &["run", "show", ""],
        &["worker", "show", ""],
        &["pool", "stats", ""],
        &["eval", "--resume", ""],
    ] {
        dspex(&home, command).expect(2).says("it is empty");
    }
    dspex(&home, &["program", "show", "qa"]).expect(0);
}

#[test]
fn what_has_no_end_is_not_read_to_its_end() {
    let home = Home::new();
    dspex(&home, &["program", "put", "qa", "/dev/zero"]).expect(7).says("TOO_LARGE").says("/dev/zero").says("16 MiB");
    dspex(&home, &["program", "list"]).expect(0);
}

#[test]
fn a_refusal_does_not_repeat_ten_kilobytes() {
    let home = Home::new();
    let long = "x".repeat(10_000);
    for command in [
        &["session", "show", &long][..],
        &["execution", "show", &long],
        &["program", "show", "qa", "--session", &long],
        &["worker", "show", &long],
        &["pool", "stats", &long],
        &["run", "show", &long],
        &["variable", "set", "v", &long],
        &[&long],
    ] {
        let refused = dspex(&home, command);
        let (code, bytes) = (refused.code, refused.stderr.len());
        assert!(code != Some(0) && bytes < 2000, "{code:?}, {bytes} bytes for {}", command[0]);
    }
}
