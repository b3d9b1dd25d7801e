//! The way from the command line to an exit code.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use dspex_api::reason;

use crate::arguments::{Arguments, Command, Global, NodeArguments};
use crate::bridge;
use crate::command::cert::CertCommand;
use crate::command::config::ConfigCommand;
use crate::command::doctor::DoctorCommand;
use crate::command::snapshot::SnapshotCommand;
use crate::command::{
    audit, cluster, completion, env, eval, execution, local, member, pool, program, run, session, snapshot, token,
    variable, worker,
};
use crate::console::Console;
use crate::echo::shortened;
use crate::error::CommandError;
use crate::exit;
use crate::invocation::Invocation;
use crate::process;
use crate::{demo, dev};

/// A command that follows a run cancels it at its deadline; this is how much longer that may take.
const GRACE: Duration = Duration::from_secs(30);

/// What the program does itself, because no client can.
#[derive(Debug)]
pub enum OwnCommand {
    /// `dspex node`.
    Node(NodeArguments),
    /// `dspex cert`.
    Cert(CertCommand),
    /// `dspex snapshot inspect` and `restore`.
    Snapshot(SnapshotCommand),
    /// `dspex config`.
    Config(ConfigCommand),
    /// `dspex doctor`.
    Doctor(Box<DoctorCommand>),
}

/// Parses the command line and does what it says. `own` is called for the commands that are not a client's; it gives the exit
/// code.
pub fn main(own: impl FnOnce(OwnCommand) -> i32) -> ExitCode {
    let arguments = Arguments::try_parse().unwrap_or_else(|error| refuse(error));
    let format = arguments.global.format();
    let command = match arguments.command {
        Command::Node(of_node) => {
            if of_node.parent.is_some_and(|parent| !process::end_with(parent)) {
                // Whoever wanted it has gone.
                return ExitCode::SUCCESS;
            }
            if of_node.which.home.is_some() {
                // Leaves the terminal's session, so that neither Ctrl-C nor a hang-up there reaches the node. It fails only
                // for the leader of a process group, that is when a person started the node by hand.
                let _ = rustix::process::setsid();
            }
            OwnCommand::Node(of_node)
        }
        Command::Cert(arguments) => OwnCommand::Cert(CertCommand { arguments, format }),
        Command::Snapshot(of_snapshot) => match of_snapshot.work() {
            Some(work) => OwnCommand::Snapshot(SnapshotCommand { work, format, quiet: arguments.global.quiet }),
            None => {
                let command = Command::Snapshot(of_snapshot);
                return ExitCode::from(as_client(Arguments { command, ..arguments }));
            }
        },
        Command::Config(arguments) => OwnCommand::Config(ConfigCommand { arguments, format }),
        Command::Doctor(of_doctor) => OwnCommand::Doctor(Box::new(DoctorCommand::new(of_doctor, &arguments.global))),
        // Their nodes are their own, wherever the variables point that an earlier `dspex dev` printed.
        command @ (Command::Dev(_) | Command::Demo(_)) => {
            let global = arguments.global.without_address();
            return ExitCode::from(as_client(Arguments { global, command }));
        }
        // On this machine, wherever the variables point.
        Command::Eval(options) if options.is_local() => {
            let global = arguments.global.without_address();
            return ExitCode::from(as_client(Arguments { global, command: Command::Eval(options) }));
        }
        Command::Run(options) if options.is_local() => {
            let global = arguments.global.without_address();
            return ExitCode::from(as_client(Arguments { global, command: Command::Run(options) }));
        }
        command => return ExitCode::from(as_client(Arguments { command, ..arguments })),
    };
    ExitCode::from(u8::try_from(own(command)).unwrap_or(exit::FAILED))
}

/// clap repeats a refused value; one that was refused as a secret must not appear again, in a log least of all.
fn refuse(error: clap::Error) -> ! {
    let argument = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(name)) if name.starts_with("--env ") || name.starts_with("--lm-set ") => name.clone(),
        _ => with_short_echoes(error).exit(),
    };
    if error.kind() != ErrorKind::ValueValidation {
        with_short_echoes(error).exit();
    }
    let reason = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    Console::new(false, 0).error(&CommandError::usage(format!("{argument}: {reason}")));
    std::process::exit(i32::from(exit::USAGE));
}

/// A pasted file is no help in an error.
fn with_short_echoes(mut error: clap::Error) -> clap::Error {
    let mut typed = vec![ContextKind::InvalidValue, ContextKind::InvalidSubcommand];
    // Elsewhere it is the name of an option that exists.
    typed.extend((error.kind() == ErrorKind::UnknownArgument).then_some(ContextKind::InvalidArg));
    for kind in typed {
        if let Some(ContextValue::String(text)) = error.get(kind) {
            let short = ContextValue::String(shortened(text));
            error.insert(kind, short);
        }
    }
    error
}

fn as_client(arguments: Arguments) -> u8 {
    let fallback = Console::new(arguments.global.quiet, arguments.global.verbose);
    let result = Invocation::new(&arguments.global).and_then(|invocation| {
        // One thread: a second one would cost more at the start than a client can gain.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let result = runtime.block_on(within_limits(&invocation, &arguments.global, arguments.command));
        // A reader of a dataset may still wait for a pipe.
        runtime.shutdown_background();
        result
    });
    match result {
        Ok(code) => code,
        Err(error) => {
            fallback.error(&error);
            error.exit
        }
    }
}

async fn within_limits(invocation: &Invocation, global: &Global, command: Command) -> Result<u8, CommandError> {
    let follows = match &command {
        Command::Eval(_) | Command::Dev(_) | Command::Demo(_) => true,
        Command::Run(options) => options.follows(),
        _ => false,
    };
    let work = Box::pin(dispatch(invocation, global, command));
    let Some(deadline) = invocation.deadline else {
        return work.await;
    };
    let end = if follows { deadline + GRACE } else { deadline };
    match tokio::time::timeout_at(end, work).await {
        Ok(result) => result,
        Err(_) => {
            Err(CommandError::because(reason::NODE_TIMED_OUT, "the command did not end within --command-timeout"))
        }
    }
}

async fn dispatch(invocation: &Invocation, global: &Global, command: Command) -> Result<u8, CommandError> {
    match command {
        Command::Eval(options) => eval::execute(invocation, *options).await,
        Command::Run(options) => run::execute(invocation, options).await,
        Command::Pool(options) => pool::execute(invocation, options).await,
        Command::Worker(options) => worker::execute(invocation, options).await,
        Command::Env(options) => env::execute(invocation, options).await,
        Command::Session(options) => session::execute(invocation, options).await,
        Command::Execution(options) => execution::execute(invocation, options).await,
        Command::Program(options) => program::execute(invocation, options).await,
        Command::Variable(options) => variable::execute(invocation, options).await,
        Command::Cluster(options) => cluster::execute(invocation, options).await,
        Command::Member(options) => member::execute(invocation, options).await,
        Command::Token(options) => token::execute(invocation, options).await,
        Command::Audit(options) => audit::execute(invocation, options).await,
        Command::Snapshot(arguments) => snapshot::execute(invocation, arguments).await,
        Command::Local(options) => local::execute(invocation, options).await,
        Command::Demo(options) => demo::execute(invocation, options).await,
        Command::Dev(options) => dev::execute(invocation, options).await,
        Command::Completion(options) => completion::execute(&options),
        Command::Client => bridge::serve(global).await,
        Command::Node(_) | Command::Cert(_) | Command::Config(_) | Command::Doctor(_) => {
            Err(CommandError::usage("this is not done from here"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_is_not_repeated_whole() {
        let long = "x".repeat(10_000);
        for line in [["run", &long], ["session", &long], ["--retries", &long], ["--command-timeout", &long]] {
            let error = Arguments::try_parse_from(["dspex"].into_iter().chain(line)).expect_err("refused");
            let told = with_short_echoes(error).to_string();
            assert!(told.len() < 1000, "{} bytes for {}: {}", told.len(), line[0], &told[..300]);
        }
        let unknown = Arguments::try_parse_from(["dspex".to_owned(), format!("--{long}")]).expect_err("refused");
        assert!(with_short_echoes(unknown).to_string().len() < 1000);
    }
}
