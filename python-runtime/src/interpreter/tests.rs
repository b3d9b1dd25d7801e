use super::*;

/// A situation: the variables set, the files that exist, and what is asked for.
struct Situation<'a> {
    option: Option<&'a str>,
    variables: &'a [(&'a str, &'a str)],
    files: &'a [&'a str],
}

fn check(situation: &Situation<'_>) -> Result<(String, &'static str), NoInterpreter> {
    let environment =
        situation.variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let search = Search {
        option: situation.option,
        environment: &environment,
        directory: Path::new("/home/ada/work"),
        program: Some(Path::new("project/src/qa.py")),
        executable: Some(Path::new("/opt/tools/bin/dspex")),
    };
    choose(&search, |path| situation.files.iter().any(|file| Path::new(file) == path))
        .map(|found| (found.path.display().to_string(), found.reason))
}

const EVERYWHERE: &[&str] = &[
    "/option/python",
    "/variable/python",
    "/venv/bin/python",
    "/conda/bin/python",
    "/home/ada/work/project/.venv/bin/python",
    "/home/ada/.venv/bin/python3",
    "/opt/tools/bin/python3",
];

#[test]
fn each_place_wins_over_those_after_it() {
    let all = [("DSPEX_PYTHON", "/variable/python"), ("VIRTUAL_ENV", "/venv"), ("CONDA_PREFIX", "/conda")];
    let expected = [
        (Some("/option/python"), &all[..], EVERYWHERE, "/option/python", "--python"),
        (None, &all[..], EVERYWHERE, "/variable/python", "DSPEX_PYTHON"),
        (None, &all[1..], EVERYWHERE, "/venv/bin/python", "VIRTUAL_ENV"),
        (None, &all[2..], EVERYWHERE, "/conda/bin/python", "CONDA_PREFIX"),
        (None, &[], EVERYWHERE, "/home/ada/work/project/.venv/bin/python", ".venv"),
        (None, &[], &EVERYWHERE[5..], "/home/ada/.venv/bin/python3", ".venv"),
        (None, &[], &EVERYWHERE[6..], "/opt/tools/bin/python3", "beside dspex"),
    ];
    for (option, variables, files, path, reason) in expected {
        assert_eq!(check(&Situation { option, variables, files }), Ok((path.to_owned(), reason)));
    }
}

#[test]
fn what_was_asked_for_is_never_replaced() {
    let missing = check(&Situation { option: Some("/nowhere/python"), variables: &[], files: EVERYWHERE });
    assert_eq!(missing, Err(NoInterpreter::Missing("--python", "/nowhere/python".to_owned())));
    let variables = [("DSPEX_PYTHON", "gone")];
    let missing = check(&Situation { option: None, variables: &variables, files: EVERYWHERE });
    assert_eq!(missing, Err(NoInterpreter::Missing("DSPEX_PYTHON", "gone".to_owned())));
}

#[test]
fn a_virtual_environment_that_is_gone_is_passed_over() {
    let variables = [("VIRTUAL_ENV", "/deleted"), ("CONDA_PREFIX", "")];
    let found = check(&Situation { option: None, variables: &variables, files: EVERYWHERE });
    assert_eq!(found, Ok(("/home/ada/work/project/.venv/bin/python".to_owned(), ".venv")));
}

#[test]
fn an_option_may_be_a_command_a_relative_file_or_a_virtual_environment() {
    let variables = [("PATH", "/bin:/usr/bin")];
    let expected = [
        ("python3.12", "/usr/bin/python3.12", "/usr/bin/python3.12"),
        ("../venv/bin/python", "/home/ada/work/../venv/bin/python", "/home/ada/work/../venv/bin/python"),
        ("env", "/home/ada/work/env/bin/python", "/home/ada/work/env/bin/python"),
    ];
    for (option, file, path) in expected {
        let found = check(&Situation { option: Some(option), variables: &variables, files: &[file] });
        assert_eq!(found, Ok((path.to_owned(), "--python")));
    }
}

#[test]
fn without_any_the_error_says_what_to_do() {
    let error = check(&Situation { option: None, variables: &[("VIRTUAL_ENV", "/deleted")], files: &[] });
    let text = error.expect_err("nothing exists").to_string();
    assert!(text.contains("VIRTUAL_ENV in /deleted/bin"), "{text}");
    assert!(text.contains("beside dspex in /opt/tools/bin"), "{text}");
    assert!(text.contains("--python or DSPEX_PYTHON"), "{text}");
}
