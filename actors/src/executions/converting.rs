//! From a record to what is stored of it: an execution of bounded size, and the values that are blobs. And executions to commands
//! that a log entry holds.

use bytes::Bytes;
use dspex_model::{Digest, EXECUTION_INLINE_BYTES_MAX, Execution, ExecutionError, ExecutionValue, NodeId, check_json};

use super::{ExecutionRecord, Told};

/// A command's executions take at most this; with its envelope it stays below the limit of a log entry.
const COMMAND_BYTES: usize = 48 * 1024;
/// What an execution takes beside its texts, at most.
const EXECUTION_BYTES: usize = 256;

/// Names are names; a longer one is cut.
const PROGRAM_BYTES: usize = 512;
const NAME_BYTES: usize = 256;
const MESSAGE_BYTES: usize = 1024;
const METRICS_BYTES: usize = 1024;

/// What is stored.
#[derive(Debug, Default)]
pub(super) struct Converted {
    /// Large values.
    pub(super) blobs: Vec<Bytes>,
    /// By command.
    pub(super) commands: Vec<Vec<Execution>>,
}

pub(super) fn convert(told: Vec<Told>, node: NodeId) -> Converted {
    let mut converted = Converted::default();
    let mut command_bytes = COMMAND_BYTES;
    for told in told {
        let record = match told {
            Told::Record(record) => *record,
            Told::Call(call) => call.into_record(),
        };
        let execution = execution(record, node, &mut converted.blobs);
        let bytes = size(&execution);
        if command_bytes + bytes > COMMAND_BYTES {
            converted.commands.push(Vec::new());
            command_bytes = 0;
        }
        command_bytes += bytes;
        if let Some(command) = converted.commands.last_mut() {
            command.push(execution);
        }
    }
    converted
}

fn execution(record: ExecutionRecord, node: NodeId, blobs: &mut Vec<Bytes>) -> Execution {
    // One that cannot be read would spoil the list that it is in.
    let mut value = |json: Bytes| match std::str::from_utf8(&json).ok().filter(|text| check_json(text).is_ok()) {
        None => ExecutionValue::Inline(left_out(json.len())),
        Some(text) if json.len() <= EXECUTION_INLINE_BYTES_MAX => ExecutionValue::Inline(text.to_owned()),
        Some(_) => {
            let stored = ExecutionValue::Blob { digest: Digest::of(&json), bytes: json.len() as u64 };
            blobs.push(json);
            stored
        }
    };
    let error = |(class, message): (String, String)| ExecutionError {
        class: cut(class, NAME_BYTES),
        message: cut(message, MESSAGE_BYTES),
    };
    Execution {
        id: record.id,
        program: cut(record.program, PROGRAM_BYTES),
        program_id: record.program_id.map(|id| id.as_u128()),
        program_version: record.program_version,
        session: record.session,
        status: record.status,
        input: value(record.input),
        output: record.output.map(&mut value),
        trace: record.trace.map(&mut value),
        metrics: measured(record.metrics),
        error: record.error.map(error),
        duration_us: micros(record.duration),
        queued_us: micros(record.queued),
        node,
        worker: cut(record.worker, NAME_BYTES),
        actor: record.actor.map(|actor| cut(actor, NAME_BYTES)),
        trace_id: record.traceparent.as_deref().and_then(trace_id),
    }
}

/// Half of an object is none.
fn measured(metrics: String) -> String {
    let is_whole = metrics.is_empty() || metrics.len() <= METRICS_BYTES && check_json(&metrics).is_ok();
    if is_whole { metrics } else { left_out(metrics.len()) }
}

fn left_out(bytes: usize) -> String {
    format!("{{\"left_out_bytes\":{bytes}}}")
}

fn cut(mut text: String, most: usize) -> String {
    text.truncate(text.floor_char_boundary(most));
    text
}

fn micros(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// `00-TRACE-SPAN-FLAGS`
fn trace_id(traceparent: &str) -> Option<u128> {
    let text = traceparent.split('-').nth(1).filter(|text| text.len() == 32)?;
    u128::from_str_radix(text, 16).ok().filter(|id| *id != 0)
}

/// What it takes in a command, at most.
fn size(execution: &Execution) -> usize {
    let values = [Some(&execution.input), execution.output.as_ref(), execution.trace.as_ref()];
    let inline = values.into_iter().flatten().map(|value| match value {
        ExecutionValue::Inline(text) => text.len(),
        ExecutionValue::Blob { .. } => 0,
    });
    let texts = [
        Some(execution.program.as_str()),
        execution.session.as_ref().map(|session| session.as_str()),
        Some(execution.metrics.as_str()),
        execution.error.as_ref().map(|error| error.class.as_str()),
        execution.error.as_ref().map(|error| error.message.as_str()),
        Some(execution.worker.as_str()),
        execution.actor.as_deref(),
    ];
    EXECUTION_BYTES + inline.sum::<usize>() + texts.into_iter().flatten().map(str::len).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use dspex_model::{Command, ExecutionStatus, PROPOSAL_BYTES_MAX, Proposal, SessionId};

    use super::*;

    fn record(program: &str) -> ExecutionRecord {
        ExecutionRecord { input: Bytes::from_static(b"{}"), ..ExecutionRecord::new(program, ExecutionStatus::Failed) }
    }

    fn one(record: ExecutionRecord) -> (Execution, Vec<Bytes>) {
        let mut converted = convert(vec![Told::Record(Box::new(record))], NodeId(3));
        (converted.commands.remove(0).remove(0), converted.blobs)
    }

    #[test]
    fn large_values_are_blobs_and_small_ones_are_not() {
        let text = |bytes: usize| Bytes::from(format!("\"{}\"", "x".repeat(bytes - 2)));
        let (small, large) = (text(EXECUTION_INLINE_BYTES_MAX), text(EXECUTION_INLINE_BYTES_MAX + 1));
        let (execution, blobs) = one(ExecutionRecord {
            input: small.clone(),
            output: Some(large.clone()),
            trace: Some(large.clone()),
            ..record("qa")
        });
        assert!(matches!(&execution.input, ExecutionValue::Inline(text) if text.as_bytes() == small));
        let blob = ExecutionValue::Blob { digest: Digest::of(&large), bytes: large.len() as u64 };
        assert_eq!((execution.output, execution.trace), (Some(blob.clone()), Some(blob)));
        assert_eq!(blobs, [large.clone(), large]);
        for unreadable in [&b"\xff"[..], b"1e400", b"\"\\ud800\"", b"NaN"] {
            let output = Some(Bytes::copy_from_slice(unreadable));
            let metrics = String::from_utf8_lossy(unreadable).into_owned();
            let (execution, blobs) = one(ExecutionRecord { output, metrics: metrics.clone(), ..record("qa") });
            let left_out = format!("{{\"left_out_bytes\":{}}}", unreadable.len());
            assert_eq!(execution.output, Some(ExecutionValue::Inline(left_out)));
            assert_eq!(execution.metrics, format!("{{\"left_out_bytes\":{}}}", metrics.len()));
            assert_eq!(blobs.len(), 0);
        }
    }

    #[test]
    fn long_texts_are_cut_and_measures_left_out() {
        let long = "ü".repeat(5000);
        let (execution, _) = one(ExecutionRecord {
            metrics: long.clone(),
            error: Some((long.clone(), long.clone())),
            worker: long.clone(),
            actor: Some(long.clone()),
            traceparent: Some("00-000000000000000000000000000000ff-00000000000000aa-01".to_owned()),
            ..record(&long)
        });
        let error = execution.error.expect("an error");
        let lengths = [&execution.program, &error.class, &error.message, &execution.worker].map(String::len);
        assert_eq!(lengths, [PROGRAM_BYTES, NAME_BYTES, MESSAGE_BYTES, NAME_BYTES]);
        assert_eq!(execution.metrics, "{\"left_out_bytes\":10000}");
        assert_eq!((execution.trace_id, execution.node), (Some(255), NodeId(3)));
        for wrong in ["", "00-xyz-00-01", "00-00000000000000000000000000000000-00000000000000aa-01"] {
            assert_eq!(trace_id(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_command_of_any_executions_fits_a_log_entry() {
        let text = |letter: &str, bytes: usize| format!("\"{}\"", letter.repeat(bytes - 2));
        let largest = || ExecutionRecord {
            session: Some(SessionId::new("s".repeat(256)).expect("an id")),
            input: Bytes::from(text("i", EXECUTION_INLINE_BYTES_MAX)),
            output: Some(Bytes::from(text("o", EXECUTION_INLINE_BYTES_MAX))),
            trace: Some(Bytes::from(text("t", EXECUTION_INLINE_BYTES_MAX))),
            metrics: text("m", METRICS_BYTES),
            error: Some(("c".repeat(1000), "m".repeat(5000))),
            worker: "w".repeat(1000),
            actor: Some("a".repeat(1000)),
            ..record(&"p".repeat(1000))
        };
        let told = |large: usize, small: usize| {
            let records = (0..large).map(|_| largest()).chain((0..small).map(|_| record("qa")));
            records.map(|record| Told::Record(Box::new(record))).collect::<Vec<_>>()
        };
        for (large, small) in [(0, 1), (1, 0), (20, 0), (0, 1000), (7, 300)] {
            let converted = convert(told(large, small), NodeId(u64::MAX));
            assert_eq!(converted.commands.iter().map(Vec::len).sum::<usize>(), large + small);
            for executions in converted.commands {
                let proposal =
                    Proposal { stamp_ms: u64::MAX, ..Proposal::internal(Command::RecordExecutions { executions }) };
                let bytes = proposal.encode().expect("fits").len();
                assert!(bytes < PROPOSAL_BYTES_MAX, "{bytes}");
            }
        }
    }
}
