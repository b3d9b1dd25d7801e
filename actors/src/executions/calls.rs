//! The executions that a pool's calls are, and those of sessions.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use bytes::Bytes;
use dspex_model::{ExecutionStatus, ProgramId, SessionId};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{ExecutionRecord, Executions, Place, Told};
use crate::pool::{CallError, CallReply, CallRequest, CallTiming, EXECUTE_PROGRAM};

/// A call that has ended.
#[derive(Debug)]
pub(crate) struct CallTold {
    command: String,
    /// Of the store: which one, and at which version.
    program: Option<(ProgramId, u64)>,
    arguments: Bytes,
    result: Option<Bytes>,
    trace: Option<Bytes>,
    status: ExecutionStatus,
    error: Option<(String, String)>,
    timing: CallTiming,
    session: Option<SessionId>,
    actor: Option<String>,
    traceparent: Option<String>,
}

/// On whose account something is called.
#[derive(Clone, Debug, Default)]
pub struct CalledBy {
    /// The name of a token, or of the local user.
    pub actor: Option<String>,
    /// The session that it is executed in.
    pub session: Option<SessionId>,
}

/// What became of a call.
#[derive(Debug)]
struct Ended {
    status: ExecutionStatus,
    result: Option<Bytes>,
    trace: Option<Bytes>,
    error: Option<(String, String)>,
}

impl Ended {
    fn without_result(status: ExecutionStatus, class: String, message: String) -> Self {
        Self { status, result: None, trace: None, error: Some((class, message)) }
    }
}

/// How far a call is.
#[derive(Debug)]
enum Stage {
    /// It waits or is executed.
    Open,
    /// It has ended, and waits for a place for its record.
    Ended(Ended),
    /// Nothing more is to be told.
    Told,
}

/// A call under way that is to be recorded when it has ended, or when its caller goes away before. It takes a place when it has
/// ended: as many may wait for a worker as a pool's queue has room for, which is more than there are places.
#[derive(Debug)]
pub(crate) struct CallUnderWay {
    executions: Executions,
    stage: Stage,
    begun: Instant,
    command: String,
    program: Option<(ProgramId, u64)>,
    arguments: Bytes,
    timing: Arc<OnceLock<CallTiming>>,
    session: Option<SessionId>,
    actor: Option<String>,
    traceparent: Option<String>,
}

impl CallUnderWay {
    /// A call that is about to begin, and what is to be told of it.
    pub(crate) fn new(
        executions: Executions,
        request: &CallRequest,
        CalledBy { actor, session }: CalledBy,
    ) -> (Self, Arc<OnceLock<CallTiming>>) {
        let timing = Arc::<OnceLock<CallTiming>>::default();
        let under_way = Self {
            executions,
            stage: Stage::Open,
            begun: Instant::now(),
            command: request.command.clone(),
            program: request.program.as_ref().map(|program| (program.id, program.version)),
            arguments: request.arguments.clone(),
            timing: Arc::clone(&timing),
            session,
            actor,
            traceparent: request.traceparent.clone(),
        };
        (under_way, timing)
    }

    /// Waits for its answer, and records what became of it. Where the log is slower than the calls, the answer waits for a place.
    pub(crate) async fn follow(
        mut self,
        called: impl Future<Output = Result<CallReply, CallError>>,
    ) -> Result<CallReply, CallError> {
        let answer = called.await;
        self.stage = match &answer {
            Ok(CallReply { result, trace, .. }) => Stage::Ended(Ended {
                status: ExecutionStatus::Succeeded,
                result: Some(result.clone()),
                trace: trace.clone(),
                error: None,
            }),
            Err(error) => match failure(error) {
                Some((status, class, message)) => Stage::Ended(Ended::without_result(status, class, message)),
                // It was refused: nothing was executed.
                None => Stage::Told,
            },
        };
        if matches!(self.stage, Stage::Ended(_)) {
            // Given up meanwhile, it is told all the same, see below.
            let place = self.executions.reserve().await;
            self.tell(place);
        }
        answer
    }

    /// Without a place it is left out, which is counted where there was none.
    fn tell(&mut self, place: Option<Place>) {
        let Ended { status, result, trace, error } = match std::mem::replace(&mut self.stage, Stage::Told) {
            Stage::Ended(ended) => ended,
            Stage::Open => {
                let (class, message) = ("Cancelled".to_owned(), "its caller gave it up".to_owned());
                Ended::without_result(ExecutionStatus::Cancelled, class, message)
            }
            Stage::Told => return,
        };
        let Some(place) = place else { return };
        let timing = self.timing.get().cloned();
        let since_begin = || CallTiming { executed: self.begun.elapsed(), ..CallTiming::default() };
        place.fill(Told::Call(Box::new(CallTold {
            command: std::mem::take(&mut self.command),
            program: self.program,
            arguments: std::mem::take(&mut self.arguments),
            result,
            trace,
            status,
            error,
            timing: timing.unwrap_or_else(since_begin),
            session: self.session.take(),
            actor: self.actor.take(),
            traceparent: self.traceparent.take(),
        })));
    }
}

impl Drop for CallUnderWay {
    fn drop(&mut self) {
        if !matches!(self.stage, Stage::Told) {
            let place = self.executions.reserve_now();
            self.tell(place);
        }
    }
}

/// What an execution without an answer is; `None`: nothing was executed.
fn failure(error: &CallError) -> Option<(ExecutionStatus, String, String)> {
    let (status, class) = match error {
        CallError::Failed(failure) => {
            return Some((ExecutionStatus::Failed, failure.exception.clone(), failure.message.clone()));
        }
        CallError::TimedOut { .. } => (ExecutionStatus::TimedOut, "TimedOut"),
        CallError::WorkerLost { .. } => (ExecutionStatus::Lost, "WorkerLost"),
        _ => return None,
    };
    Some((status, class.to_owned(), error.to_string()))
}

impl CallTold {
    pub(super) fn bytes(&self) -> usize {
        let more = [&self.result, &self.trace].into_iter().flatten();
        self.arguments.len() + more.map(Bytes::len).sum::<usize>()
    }

    /// As a record. Of a program's call the inputs and outputs count, and what it used is measured.
    pub(super) fn into_record(self) -> ExecutionRecord {
        let program = (self.command == EXECUTE_PROGRAM).then(|| program_call(&self.arguments)).flatten();
        let is_program = program.is_some();
        let (program, input) = program.unwrap_or((self.command, self.arguments));
        let (output, metrics) = match self.result {
            Some(result) if is_program => program_result(result),
            result => (result, String::new()),
        };
        let CallTiming { worker, queued, executed } = self.timing;
        ExecutionRecord {
            input: if input.is_empty() { Bytes::from_static(b"null") } else { input },
            output,
            trace: self.trace,
            metrics,
            program_id: self.program.map(|(id, _)| Uuid::from_u128(id.0)),
            program_version: self.program.map(|(_, version)| version),
            error: self.error,
            duration: executed,
            queued,
            worker,
            session: self.session,
            actor: self.actor,
            traceparent: self.traceparent,
            ..ExecutionRecord::new(program, self.status)
        }
    }
}

/// The fields of an object as they were written: a number that Python knows must not become one that Rust knows.
type Fields<'a> = BTreeMap<String, &'a RawValue>;

fn fields(json: &[u8]) -> Option<Fields<'_>> {
    serde_json::from_slice(json).ok()
}

fn own(value: &RawValue) -> Bytes {
    Bytes::copy_from_slice(value.get().as_bytes())
}

/// The program and its inputs.
fn program_call(arguments: &[u8]) -> Option<(String, Bytes)> {
    let arguments = fields(arguments)?;
    let program = serde_json::from_str(arguments.get("program_id")?.get()).ok()?;
    let inputs = arguments.get("inputs").map_or_else(|| Bytes::from_static(b"{}"), |inputs| own(inputs));
    Some((program, inputs))
}

/// The outputs of a program, and what else its result says.
fn program_result(result: Bytes) -> (Option<Bytes>, String) {
    let Some((outputs, measured)) = outputs(&result) else { return (Some(result), String::new()) };
    (Some(outputs), measured)
}

fn outputs(result: &[u8]) -> Option<(Bytes, String)> {
    let mut fields = fields(result)?;
    let outputs = own(fields.remove("outputs")?);
    fields.remove("program_id");
    let measured = if fields.is_empty() { Some(String::new()) } else { serde_json::to_string(&fields).ok() };
    Some((outputs, measured.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use dspex_python::protocol::ExampleFailure;

    use super::*;

    fn told(command: &str, arguments: &str, result: Option<&str>) -> CallTold {
        CallTold {
            command: command.to_owned(),
            program: None,
            arguments: Bytes::from(arguments.to_owned()),
            result: result.map(|result| Bytes::from(result.to_owned())),
            trace: None,
            status: ExecutionStatus::Succeeded,
            error: None,
            timing: CallTiming { worker: "w".to_owned(), queued: Duration::ZERO, executed: Duration::from_millis(3) },
            session: None,
            actor: None,
            traceparent: None,
        }
    }

    #[test]
    fn of_a_programs_call_its_inputs_outputs_and_usage_are_recorded() {
        let arguments = r#"{"program_id": "qa", "inputs": {"question": "why"}}"#;
        let result =
            r#"{"program_id":"qa","outputs":{"answer":"so"},"usage":{"m":{"total_tokens":5}},"cost_usd":null}"#;
        let record = told("execute_program", arguments, Some(result)).into_record();
        assert_eq!(record.program, "qa");
        assert_eq!(record.input, r#"{"question": "why"}"#);
        assert_eq!(record.output.as_deref(), Some(&br#"{"answer":"so"}"#[..]));
        assert_eq!(record.metrics, r#"{"cost_usd":null,"usage":{"m":{"total_tokens":5}}}"#);
        assert_eq!((record.worker.as_str(), record.duration), ("w", Duration::from_millis(3)));
    }

    #[test]
    fn of_a_stored_program_its_id_and_version_are_recorded() {
        let arguments = r#"{"program_id": "qa", "inputs": {}, "stored": "7@3"}"#;
        let stored = CallTold { program: Some((ProgramId(7), 3)), ..told("execute_program", arguments, None) };
        let record = stored.into_record();
        assert_eq!((record.program.as_str(), record.program_id), ("qa", Some(Uuid::from_u128(7))));
        assert_eq!(record.program_version, Some(3));
        let record = told("execute_program", arguments, None).into_record();
        assert_eq!((record.program_id, record.program_version), (None, None), "one that only the pool knows");
    }

    #[test]
    fn numbers_stay_as_long_as_they_were() {
        let (arguments, outputs) = ("123456789012345678901234567890", "0.1000000000000000055511151231257827");
        let call = format!(r#"{{"program_id": "qa", "inputs": {arguments}}}"#);
        let result = format!(r#"{{"outputs": {outputs}}}"#);
        let record = told("execute_program", &call, Some(&result)).into_record();
        assert_eq!((record.input, record.output), (Bytes::from(arguments), Some(Bytes::from(outputs))));
    }

    #[test]
    fn any_other_call_is_recorded_as_it_is() {
        let record = told("tools.py:add", "[1, 2]", Some("3")).into_record();
        assert_eq!((record.program.as_str(), &record.input[..]), ("tools.py:add", &b"[1, 2]"[..]));
        assert_eq!((record.output.as_deref(), record.metrics.as_str()), (Some(&b"3"[..]), ""));
        assert_eq!(told("ping", "", None).into_record().input, "null");
        // Arguments that name no program are those of a call that failed.
        let record = told("execute_program", r#"{"inputs": {}}"#, None).into_record();
        assert_eq!((record.program.as_str(), &record.input[..]), ("execute_program", &br#"{"inputs": {}}"#[..]));
    }

    #[test]
    fn what_was_refused_before_it_began_is_no_execution() {
        let limit = Duration::from_secs(1);
        let lost = CallError::WorkerLost { message: "killed".to_owned(), output: String::new() };
        let raised = CallError::Failed(ExampleFailure {
            exception: "ValueError".to_owned(),
            message: "no".to_owned(),
            traceback: None,
            file: None,
            line: None,
        });
        for (error, status) in [
            (raised, ExecutionStatus::Failed),
            (CallError::TimedOut { limit }, ExecutionStatus::TimedOut),
            (lost, ExecutionStatus::Lost),
        ] {
            assert_eq!(failure(&error).map(|(status, ..)| status), Some(status));
        }
        let full = CallError::Full { pool: "general".to_owned(), queued: 1 };
        for error in [full, CallError::Stopping, CallError::NotDefined("qa".to_owned()), CallError::TooLong(1)] {
            assert_eq!(failure(&error), None, "{error}");
        }
    }
}
