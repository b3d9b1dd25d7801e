//! The state as records of a key-value store. Tags are enumerated here and never reused.

use crate::codec::{self, CodecError, damaged};
use crate::{ExampleResult, Outcome, RequestId, RunId, RunProgress, RunSpec};

/// A record that was written (`Some`) or removed (`None`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The record's key; keys order as the things they name.
    pub key: Vec<u8>,
    /// Its new value.
    pub value: Option<Vec<u8>>,
}

const TAG_LOG_TIME: u8 = 0x01;
const TAG_RUN_SPEC: u8 = 0x10;
const TAG_RUN_PROGRESS: u8 = 0x11;
const TAG_RUN_RESULT: u8 = 0x12;
const TAG_REQUEST: u8 = 0x20;

const VERSION: u8 = 1;

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    LogTime,
    RunSpec(RunId),
    RunProgress(RunId),
    RunResult(RunId, u32),
    Request(RequestId),
}

impl Key {
    pub(crate) fn encode(self) -> Vec<u8> {
        match self {
            Self::LogTime => vec![TAG_LOG_TIME],
            Self::RunSpec(run) => joined(TAG_RUN_SPEC, &[&run.0.to_be_bytes()]),
            Self::RunProgress(run) => joined(TAG_RUN_PROGRESS, &[&run.0.to_be_bytes()]),
            Self::RunResult(run, index) => joined(TAG_RUN_RESULT, &[&run.0.to_be_bytes(), &index.to_be_bytes()]),
            Self::Request(id) => joined(TAG_REQUEST, &[&id.request.to_be_bytes(), &id.client.to_be_bytes()]),
        }
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let unknown = || damaged("a state record's key", format!("{bytes:02x?}"));
        let (&tag, body) = bytes.split_first().ok_or_else(unknown)?;
        let key = match (tag, body.len()) {
            (TAG_LOG_TIME, 0) => Self::LogTime,
            (TAG_RUN_SPEC, 16) => Self::RunSpec(RunId(u128_at(body, 0))),
            (TAG_RUN_PROGRESS, 16) => Self::RunProgress(RunId(u128_at(body, 0))),
            (TAG_RUN_RESULT, 20) => {
                let index = body[16..].iter().fold(0, |index, &byte| index << 8 | u32::from(byte));
                Self::RunResult(RunId(u128_at(body, 0)), index)
            }
            (TAG_REQUEST, 32) => Self::Request(RequestId { request: u128_at(body, 0), client: u128_at(body, 16) }),
            _ => return Err(unknown()),
        };
        Ok(key)
    }
}

fn joined(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = vec![tag];
    parts.iter().for_each(|part| key.extend_from_slice(part));
    key
}

fn u128_at(bytes: &[u8], start: usize) -> u128 {
    bytes[start..start + 16].iter().fold(0, |value, &byte| value << 8 | u128::from(byte))
}

/// A record's value, typed by its key.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Record {
    LogTime(u64),
    RunSpec(RunId, Box<RunSpec>),
    RunProgress(RunId, Box<RunProgress>),
    RunResult(RunId, u32, ExampleResult),
    Request(RequestId, Outcome),
}

impl Record {
    pub(crate) fn key(&self) -> Key {
        match self {
            Self::LogTime(_) => Key::LogTime,
            Self::RunSpec(run, _) => Key::RunSpec(*run),
            Self::RunProgress(run, _) => Key::RunProgress(*run),
            Self::RunResult(run, index, _) => Key::RunResult(*run, *index),
            Self::Request(id, _) => Key::Request(*id),
        }
    }

    /// The value's bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let encoded = match self {
            Self::LogTime(time) => codec::encode("log time", VERSION, time),
            Self::RunSpec(_, spec) => codec::encode("a run's specification", VERSION, spec),
            Self::RunProgress(_, progress) => codec::encode("a run's progress", VERSION, progress),
            Self::RunResult(_, _, result) => codec::encode("a result", VERSION, result),
            Self::Request(_, outcome) => codec::encode("a request's outcome", VERSION, outcome),
        };
        encoded.expect("plain data is encoded into memory, which cannot fail")
    }

    pub(crate) fn decode(key: Key, bytes: &[u8]) -> Result<Self, CodecError> {
        Ok(match key {
            Key::LogTime => Self::LogTime(codec::decode("log time", VERSION, bytes)?),
            Key::RunSpec(run) => Self::RunSpec(run, codec::decode("a run's specification", VERSION, bytes)?),
            Key::RunProgress(run) => Self::RunProgress(run, codec::decode("a run's progress", VERSION, bytes)?),
            Key::RunResult(run, index) => Self::RunResult(run, index, codec::decode("a result", VERSION, bytes)?),
            Key::Request(id) => Self::Request(id, codec::decode("a request's outcome", VERSION, bytes)?),
        })
    }
}
