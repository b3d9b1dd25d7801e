//! `dspex run resume`, `dspex eval --resume RUN`, and what `dspex run retry` does likewise.

use std::path::PathBuf;

use clap::Args;
use dspex_api::Client;
use dspex_api::v1::{Caller, ResumeRunRequest, RetryRunRequest, Run};

use crate::arguments::identifier;
use crate::command::eval::{caller, caller_elsewhere, detached, show_notes, show_passed_over};
use crate::error::CommandError;
use crate::exit;
use crate::follow::{Role, Wanted, conclude, follow, new_request_id};
use crate::interpreter::{self, Interpreter};
use crate::interrupt::Interrupts;
use crate::invocation::Invocation;
use crate::project::{self, Asked, Limit};
use crate::result;
use crate::run_id;

/// The arguments of `dspex run resume`.
#[derive(Debug, Args)]
#[command(
    after_help = "The run goes on in its own directory, with the interpreter it had and with your present environment.\nOf a run that was sent to a node, its project and environment are there: it goes on with them, whatever has changed here.\nOutput and exit code are those of dspex eval."
)]
pub struct Options {
    #[command(flatten)]
    further: Further,
}

/// The options of every command by which a run goes on.
#[derive(Debug, Args)]
pub struct Further {
    /// The run's id, or its beginning
    #[arg(value_parser = identifier)]
    run: String,
    /// The interpreter [default: DSPEX_PYTHON, else the run's]
    #[arg(long, value_name = "PATH", value_parser = identifier)]
    python: Option<String>,
    /// Save the results as DSPy does: .json, .jsonl, .csv or .parquet
    #[arg(long, value_name = "FILE", conflicts_with = "detach", value_parser = identifier)]
    save: Option<String>,
    /// Do not wait: leave it running
    #[arg(long)]
    detach: bool,
}

/// What is to be resumed.
pub struct Target<'a> {
    /// The run's id, or its beginning.
    pub id: &'a str,
    /// A retry: what has failed is executed once more.
    pub failed: bool,
    /// Leave it running.
    pub detach: bool,
    /// `--python`.
    pub python: Option<&'a str>,
    /// What `dspex eval` was told to evaluate; it must be the run's.
    pub program: Option<&'a str>,
    /// `--load`: it was sent with the project.
    pub state: Option<&'a str>,
    /// `--bundle-limit`.
    pub bytes_max: u64,
}

/// Continues the run and follows it to its end.
pub async fn execute(invocation: &Invocation, options: Options) -> Result<u8, CommandError> {
    go_further(invocation, &options.further, false).await
}

/// By the options alone; `failed`: what has failed is executed once more.
pub async fn go_further(invocation: &Invocation, further: &Further, failed: bool) -> Result<u8, CommandError> {
    let save = further.save.as_deref().map(result::Target::parse).transpose()?;
    let target = Target {
        id: &further.run,
        failed,
        detach: further.detach,
        python: further.python.as_deref(),
        program: None,
        state: None,
        bytes_max: Limit::default().0,
    };
    resume(invocation, target, &Wanted { target: save, ..Wanted::default() }).await
}

/// The same for all commands that go on with a run.
pub async fn resume(invocation: &Invocation, target: Target<'_>, wanted: &Wanted) -> Result<u8, CommandError> {
    let mut client = invocation.node().await?;
    let id = run_id::resolve(&client, target.id).await?;
    let run = client.run(&id).await?;
    let Present { caller, program, bundle } = match run.environment.is_empty() {
        true => here(invocation, &run, &target)?,
        false => there(&client, &run, &target).await?,
    };
    if let Some(program) = program
        && program != run.program
    {
        return Err(CommandError::usage(format!("run {id} evaluates {}, not {program}", run.program)));
    }
    let request = ResumeRunRequest {
        request_id: Some(new_request_id()),
        run_id: id,
        caller: Some(caller),
        detach: target.detach,
        traceparent: std::env::var("TRACEPARENT").unwrap_or_default(),
        bundle,
    };
    let asked = async {
        match target.failed {
            true => client.retry(as_retry(request)).await,
            false => client.resume(request).await,
        }
    };
    let interrupts = Interrupts::listen()?;
    let resumed = tokio::select! {
        resumed = asked => resumed?,
        () = interrupts.asked() => return Err(CommandError::new(exit::INTERRUPTED, "interrupted before the run went on")),
    };
    show_notes(invocation, &resumed);
    let Some(run) = resumed.run else {
        return Err(CommandError::new(exit::FAILED, "the node answered without a run"));
    };
    if target.detach {
        return detached(invocation, &run, wanted);
    }
    let ending = follow(invocation, &mut client, &run, Role::Driver, &interrupts).await?;
    interrupts.leave_at_once();
    conclude(invocation, &client, ending, wanted).await
}

/// It hands over the same.
fn as_retry(request: ResumeRunRequest) -> RetryRunRequest {
    let ResumeRunRequest { request_id, run_id, caller, detach, traceparent, bundle } = request;
    RetryRunRequest { request_id, run_id, caller, detach, traceparent, bundle }
}

/// What a resume hands over, and what it must not differ in.
struct Present {
    caller: Caller,
    program: Option<String>,
    /// The project as it is now; empty: nobody asked.
    bundle: String,
}

/// A run that lies in a directory of its node's machine, which is this one.
fn here(invocation: &Invocation, run: &Run, target: &Target<'_>) -> Result<Present, CommandError> {
    let interpreter = interpreter_of(run, target.python)?;
    show_passed_over(invocation, &interpreter);
    let caller = caller(Some(&interpreter), &directory_of(run)?);
    Ok(Present { caller, program: target.program.map(str::to_owned), bundle: String::new() })
}

/// A run that was sent to its node. Who names the program means the one that lies here now: it must be what was sent.
async fn there(client: &Client, run: &Run, target: &Target<'_>) -> Result<Present, CommandError> {
    let caller = caller_elsewhere(None, &std::env::current_dir()?);
    let Some(program) = target.program.filter(|_| !run.bundle.is_empty()) else {
        return Ok(Present { caller, program: target.program.map(str::to_owned), bundle: String::new() });
    };
    let asked = Asked {
        program,
        metric: "",
        lm: None,
        state: target.state,
        dataset: None,
        // It is the run's: nothing has to be found out about this machine's Python.
        environment: Some(&run.environment),
        bytes_max: target.bytes_max,
        interpreter: None,
    };
    let sent = project::ship(client, &asked).await?;
    Ok(Present { caller, program: Some(sent.program), bundle: sent.shipped.bundle })
}

/// The run's own interpreter comes before what happens to be active in this shell: another one may answer differently.
fn interpreter_of(run: &Run, flag: Option<&str>) -> Result<Interpreter, CommandError> {
    let own = PathBuf::from(&run.interpreter);
    let is_named = flag.is_some() || std::env::var_os("DSPEX_PYTHON").is_some_and(|value| !value.is_empty());
    if !is_named && own.is_absolute() && interpreter::is_executable(&own) {
        return Ok(Interpreter { path: own, reason: "the run's".to_owned(), passed_over: Vec::new() });
    }
    interpreter::of_this_process(flag, &run.program)
}

/// PROGRAM is relative to where the run was submitted.
fn directory_of(run: &Run) -> Result<PathBuf, CommandError> {
    let own = PathBuf::from(&run.directory);
    match own.is_absolute() && own.is_dir() {
        true => Ok(own),
        false => Ok(std::env::current_dir()?),
    }
}
