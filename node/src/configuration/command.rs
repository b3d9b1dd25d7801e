//! `dspex config`: what a node would read, whether it would start with it, and what it could be told.

use std::path::Path;

use dspex_cli::{CommandError, ConfigCommand, ConfigVerb, Console, Format, Home, Listing, exit, output};
use serde_json::json;

use super::{Configuration, Layers, Problem, Problems, check, layers_of_home, schema, show, variables};

/// Does what the command says. Gives the exit code.
pub(crate) fn run(command: &ConfigCommand) -> i32 {
    let done = match &command.arguments.verb {
        None => show(None, false, command.format),
        Some(ConfigVerb::Show { config, origin }) => show(config.as_deref(), *origin, command.format),
        Some(ConfigVerb::Validate { file }) => validate(file, command.format),
        Some(ConfigVerb::Schema) => print_schema(),
    };
    let code = done.unwrap_or_else(|error| {
        if !error.message.is_empty() {
            eprintln!("error: {error}");
        }
        error.exit
    });
    i32::from(code)
}

fn show(file: Option<&Path>, with_origin: bool, format: Format) -> Result<u8, CommandError> {
    let layers = match file {
        Some(file) => Layers::read(file, variables()),
        None => layers_of_home(Home::of_this_process()?.path()),
    };
    let settings = match layers {
        Ok(layers) => show::settings(&layers),
        Err(problems) => return Ok(refuse(&problems.0)),
    };
    let rows = settings.iter().map(|setting| {
        let mut row = vec![setting.name.clone(), dspex_cli::plain(&setting.value)];
        row.extend(with_origin.then(|| setting.origin.to_string()));
        row
    });
    let mut header = vec!["KEY", "VALUE"];
    header.extend(with_origin.then_some("ORIGIN"));
    let listing = Listing {
        rows: rows.collect(),
        header,
        items: settings.iter().map(|setting| setting.object(with_origin)).collect(),
        ..Listing::default()
    };
    listing.print(format, &Console::new(false, 0))?;
    Ok(exit::OK)
}

fn validate(file: &Path, format: Format) -> Result<u8, CommandError> {
    let problems = match Configuration::read(file) {
        Ok(configuration) => check::problems(&configuration),
        Err(Problems(problems)) => problems,
    };
    let is_valid = problems.is_empty();
    let code = if is_valid { exit::OK } else { refuse(&problems) };
    let objects = |problems: &[Problem]| problems.iter().map(Problem::object).collect::<Vec<_>>();
    match format {
        Format::Json | Format::Jsonl => output::json(&json!({
            "file": file.display().to_string(),
            "valid": is_valid,
            "errors": objects(&problems),
        }))?,
        Format::Csv => {
            Listing { items: objects(&problems).into_iter().collect(), ..Listing::default() }
                .print(Format::Csv, &Console::new(false, 0))?;
        }
        Format::Table if is_valid => output::text(&format!("{}: valid\n", file.display()))?,
        Format::Table => {}
    }
    Ok(code)
}

fn print_schema() -> Result<u8, CommandError> {
    output::text(&format!("{:#}\n", schema::schema()))?;
    Ok(exit::OK)
}

/// Says what is wrong. Gives the exit code.
fn refuse(problems: &[Problem]) -> u8 {
    for problem in problems {
        eprintln!("error: {problem}");
    }
    exit::USAGE
}
