//! `dspex eval`.

mod options;
mod specification;

pub use options::Options;

use options::Checked;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use dspex_api::Client;
use dspex_api::v1::{Caller, Run, SubmitRunRequest, SubmitRunResponse};
use serde_json::Value;

use crate::command::run::resume;
use crate::dataset::{self, Source};
use crate::environment;
use crate::error::CommandError;
use crate::exit;
use crate::follow::{Role, Wanted, conclude, follow, new_request_id};
use crate::interpreter::{self, Interpreter};
use crate::interrupt::Interrupts;
use crate::invocation::Invocation;
use crate::output::{self, Format};
use crate::project::{self, Asked, Sent};
use crate::result::{self, Target};
use crate::run_commands::or_here;
use crate::strategy::{Dataset, Question, Subject, decide};

/// How long an answer to a submission is still waited for after Ctrl-C.
const ANSWER_AFTER_INTERRUPT: Duration = Duration::from_millis(300);

/// Decides where, submits the evaluation there and follows it to its end.
pub async fn execute(invocation: &Invocation, options: Options) -> Result<u8, CommandError> {
    let invocation = &invocation.with_local("executes it on this machine instead");
    let wanted = Wanted { gate: options.fail_under, target: target(&options)?, choice: None };
    if let Some(id) = options.run_to_resume() {
        let choice = decide(invocation, question(&options, None), async || None).await?;
        let placed = invocation.placed(&choice);
        let ended = go_on(&placed, &options, id, &Wanted { choice: Some(choice), ..wanted }).await;
        return ended.map_err(|error| or_here(&placed, error));
    }
    let checked = options.check()?;
    let subject = subject(&options, &checked)?;
    let count = async || dataset::count(&checked.source, options.limit).await;
    let choice = decide(invocation, question(&options, Some(subject)), count).await?;
    invocation.tell(&choice);
    let placed = invocation.placed(&choice);
    let ended = evaluate(&placed, &options, checked, &Wanted { choice: Some(choice), ..wanted }).await;
    ended.map_err(|error| or_here(&placed, error))
}

fn question(options: &Options, subject: Option<Subject>) -> Question {
    let bound = options.bound().map(str::to_owned);
    Question { wish: options.wish(), bound, subject, at_once: options.num_threads, in_use: None }
}

/// By what earlier runs of the same are found.
fn subject(options: &Options, checked: &Checked) -> Result<Subject, CommandError> {
    let name = checked.metric.rsplit_once(':').map_or(checked.metric.as_str(), |(_, name)| name);
    Ok(Subject {
        program: checked.program.clone(),
        metric: name.to_owned(),
        lm: options.lm.clone(),
        dataset: Dataset::Named(match &checked.source {
            Source::File(path, _) => path.to_string_lossy().into_owned(),
            Source::Python(reference) => reference.clone(),
        }),
        directory: Some(std::env::current_dir()?.to_string_lossy().into_owned()),
    })
}

/// `--resume RUN`.
async fn go_on(invocation: &Invocation, options: &Options, id: &str, wanted: &Wanted) -> Result<u8, CommandError> {
    let unused = options.unused_in_a_resume();
    if !unused.is_empty() {
        let text = format!("a named run goes on as it was started: not applied here: {}", unused.join(", "));
        invocation.console.warning(&text);
    }
    let target = resume::Target {
        id,
        failed: false,
        detach: options.detach,
        python: options.python.as_deref(),
        program: options.program(),
        state: options.load.as_deref(),
        bytes_max: options.bundle_limit.0,
    };
    resume::resume(invocation, target, wanted).await
}

/// At the node of the invocation: nothing goes elsewhere from here on.
async fn evaluate(
    invocation: &Invocation,
    options: &Options,
    checked: Checked,
    wanted: &Wanted,
) -> Result<u8, CommandError> {
    let ships = invocation.node_has_environment() && !options.in_place;
    if options.environment.is_some() && !ships {
        return Err(CommandError::usage(
            "--environment names an environment of a `dspex node`, and there is none here",
        )
        .hint("choose the Python of an embedded node's run with --python"));
    }
    let interpreter = match interpreter::of_this_process(options.python.as_deref(), &checked.program) {
        // A node's environment needs none of the caller's.
        Err(_) if options.environment.is_some() => None,
        chosen => Some(chosen?),
    };
    if let Some(interpreter) = &interpreter {
        show_passed_over(invocation, interpreter);
    }
    let mut client = invocation.node().await?;
    let sent = match ships {
        true => Some(project::ship(&client, &asked(options, &checked, interpreter.as_ref())).await?),
        false => None,
    };
    if let Some(note) = sent.as_ref().and_then(Sent::note) {
        invocation.console.note(&note);
    }
    let evaluation = specification::of(&client, options, checked, sent).await?;
    let request = SubmitRunRequest {
        request_id: Some(new_request_id()),
        caller: Some(match ships {
            true => caller_elsewhere(interpreter.as_ref(), &std::env::current_dir()?),
            false => caller(interpreter.as_ref(), &std::env::current_dir()?),
        }),
        evaluation: Some(evaluation),
        detach: options.detach,
        resume: options.resume.is_some(),
        traceparent: std::env::var("TRACEPARENT").unwrap_or_default(),
    };
    let interrupts = Interrupts::listen()?;
    let submitted = submit(&client, request, &interrupts).await?;
    show_notes(invocation, &submitted);
    let Some(run) = submitted.run else {
        return Err(CommandError::new(exit::FAILED, "the node answered without a run"));
    };
    if options.detach {
        return detached(invocation, &run, wanted);
    }
    let ending = follow(invocation, &mut client, &run, Role::Driver, &interrupts).await?;
    interrupts.leave_at_once();
    conclude(invocation, &client, ending, wanted).await
}

/// Submits, unless Ctrl-C comes first. An answer that is already on its way is still taken, so that its run is cancelled by
/// name.
async fn submit(
    client: &Client,
    request: SubmitRunRequest,
    interrupts: &Interrupts,
) -> Result<SubmitRunResponse, CommandError> {
    let submitting = client.submit(request);
    tokio::pin!(submitting);
    tokio::select! {
        submitted = &mut submitting => return Ok(submitted?),
        () = interrupts.asked() => {}
    }
    match tokio::time::timeout(ANSWER_AFTER_INTERRUPT, submitting).await {
        Ok(submitted) => Ok(submitted?),
        Err(_) => Err(CommandError::new(exit::INTERRUPTED, "interrupted before the run was stored")),
    }
}

fn asked<'a>(options: &'a Options, checked: &'a Checked, interpreter: Option<&'a Interpreter>) -> Asked<'a> {
    Asked {
        program: &checked.program,
        metric: &checked.metric,
        lm: options.lm.as_deref(),
        state: options.load.as_deref(),
        dataset: match &checked.source {
            Source::Python(reference) => Some(reference),
            Source::File(..) => None,
        },
        environment: options.environment.as_deref(),
        bytes_max: options.bundle_limit.0,
        interpreter: interpreter.map(|interpreter| interpreter.path.as_path()),
    }
}

/// What only this process can hand over; without an interpreter where the node has one.
pub fn caller(interpreter: Option<&Interpreter>, directory: &Path) -> Caller {
    let path = interpreter.map(|interpreter| interpreter.path.to_string_lossy().into_owned());
    Caller {
        directory: directory.to_string_lossy().into_owned(),
        environment: environment::of_caller(),
        interpreter: path.unwrap_or_default(),
        interpreter_reason: interpreter.map(|interpreter| interpreter.reason.clone()).unwrap_or_default(),
    }
}

/// The same for a node that gives workers an environment of its own: this one stays here, with its secrets.
pub fn caller_elsewhere(interpreter: Option<&Interpreter>, directory: &Path) -> Caller {
    Caller { environment: BTreeMap::new(), ..caller(interpreter, directory) }
}

/// Tells which environments were named but have gone.
pub fn show_passed_over(invocation: &Invocation, interpreter: &Interpreter) {
    for text in &interpreter.passed_over {
        invocation.console.warning(text);
    }
}

/// What the node says about the run it took.
pub fn show_notes(invocation: &Invocation, submitted: &SubmitRunResponse) {
    for note in &submitted.notes {
        invocation.console.note(note);
    }
    if let Some(run) = &submitted.run {
        let verb = if submitted.resumed { "continues" } else { "started" };
        let done = match run.done {
            0 => String::new(),
            done => format!(", {done} of {} examples done", run.examples),
        };
        invocation.console.note(&format!("run {} {verb}{done}", run.run_id));
    }
}

/// Prints the run that goes on without this command.
pub fn detached(invocation: &Invocation, run: &Run, wanted: &Wanted) -> Result<u8, CommandError> {
    match invocation.format {
        Format::Table => output::people(&format!("{}\n", run.run_id))?,
        _ => output::json(&Value::Object(result::ended(run, wanted.choice.as_ref())))?,
    }
    invocation.console.note(&format!("follow it with: {}", invocation.run_commands.of("watch", &run.run_id)));
    Ok(exit::OK)
}

/// Where the results are saved: not over what the evaluation reads.
fn target(options: &Options) -> Result<Option<Target>, CommandError> {
    let Some(save) = options.save.as_deref() else { return Ok(None) };
    Ok(Some(Target::parse(save)?.spares(options.inputs_read())?))
}
