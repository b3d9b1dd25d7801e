//! The commands of `dspex-chaos`.

mod arguments;
mod check;
mod play;
mod soak;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Verb};
use dspex_chaos::scenario;

/// Runs the command that was typed: 0 where all is as promised, 1 where it is not, 2 where it could not be found out.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let green = match arguments.verb {
        Verb::List => Ok(list()),
        Verb::Run(run) => play::run(&run),
        Verb::Soak(soak) => soak::run(&soak),
        Verb::Check { history } => check::run(&history),
    };
    match green {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::from(2)
        }
    }
}

fn list() -> bool {
    for scenario in scenario::ALL {
        let possible = match scenario.probe() {
            Ok(()) => String::new(),
            Err(why) => format!(" (not here: {why})"),
        };
        say(&format!("{:13}  {}{possible}", scenario.name, scenario.says));
    }
    true
}

/// A line on stdout. Nobody has to read it.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
