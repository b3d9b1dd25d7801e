//! `[pools.general]`, `[pools.optimizer]` and `[pools.inference]`; `[sessions]`, which begins with the first.

use std::path::PathBuf;

use dspex_actors::{PoolClass, PoolSettings, RecordedCalls};
use serde::Deserialize;
use toml::Value;

use super::units::{Seconds, Size};

/// Of a pool; a machine that can run more has other limits first.
pub(super) const WORKERS_MAX: u32 = 64;

/// What is set for a class of pools; the rest has its default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PoolSection {
    workers: Option<u32>,
    processes_max: Option<u32>,
    threads: Option<u32>,
    startup_timeout_s: Option<Seconds>,
    queue_max: Option<u32>,
    queue_timeout_s: Option<Seconds>,
    execution_timeout_s: Option<Seconds>,
    retries: Option<u32>,
    commands: Option<Vec<String>>,
    lm: Option<String>,
    memory_limit: Option<Size>,
    idle_timeout_s: Option<Seconds>,
    eager: Option<bool>,
    record: Option<Record>,
    python: Option<PathBuf>,
    directory: Option<PathBuf>,
}

impl PoolSection {
    pub(super) fn apply(&self, settings: &mut PoolSettings) {
        let time = |set: Option<Seconds>, default| set.map_or(default, |Seconds(time)| time);
        settings.processes_max = self.processes_max.unwrap_or(settings.processes_max);
        // One that wanted more than its class has would wait for itself.
        settings.workers = self.workers.unwrap_or(settings.workers).min(settings.processes_max);
        settings.threads = self.threads.unwrap_or(settings.threads);
        settings.queue_max = self.queue_max.unwrap_or(settings.queue_max);
        settings.retries = self.retries.unwrap_or(settings.retries);
        settings.startup_timeout = time(self.startup_timeout_s, settings.startup_timeout);
        settings.queue_timeout = time(self.queue_timeout_s, settings.queue_timeout);
        settings.execution_timeout = time(self.execution_timeout_s, settings.execution_timeout);
        if let Some(Seconds(time)) = self.idle_timeout_s {
            // 0: never.
            settings.idle_timeout = (!time.is_zero()).then_some(time);
        }
        settings.commands = self.commands.clone().unwrap_or_default();
        settings.lm.clone_from(&self.lm);
        settings.memory_limit = self.memory_limit.map(|Size(bytes)| bytes);
        settings.eager = self.eager.unwrap_or(settings.eager);
        settings.record = self.record.map_or(settings.record, RecordedCalls::from);
        settings.python.clone_from(&self.python);
        settings.directory.clone_from(&self.directory);
    }

    /// Interpreters and directories that its workers are to have.
    pub(super) fn paths(&self) -> (Option<&PathBuf>, Option<&PathBuf>) {
        (self.python.as_ref(), self.directory.as_ref())
    }
}

/// `[sessions]`: what differs for calls in sessions from those of the general pool.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SessionsSection {
    memory_limit: Option<Size>,
    queue_timeout_s: Option<Seconds>,
    execution_timeout_s: Option<Seconds>,
}

impl SessionsSection {
    pub(super) fn of(&self, general: PoolSettings) -> PoolSettings {
        let time = |set: Option<Seconds>, default| set.map_or(default, |Seconds(time)| time);
        PoolSettings {
            memory_limit: self.memory_limit.map(|Size(bytes)| bytes).or(general.memory_limit),
            queue_timeout: time(self.queue_timeout_s, general.queue_timeout),
            execution_timeout: time(self.execution_timeout_s, general.execution_timeout),
            ..general
        }
    }
}

/// Which calls are recorded, as the file says it.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Record {
    None,
    Programs,
    All,
}

impl From<Record> for RecordedCalls {
    fn from(record: Record) -> Self {
        match record {
            Record::None => Self::None,
            Record::Programs => Self::Programs,
            Record::All => Self::All,
        }
    }
}

/// The defaults of a class. The pools of a node of its own have one user, whose calls are to find them warm.
pub(super) fn defaults(class: PoolClass, cpus: usize, is_embedded: bool) -> PoolSettings {
    let mut settings = PoolSettings::default_of(class, cpus);
    if !is_embedded {
        settings.idle_timeout = None;
    }
    settings
}

/// A default as the file would write it; `None`: nothing, or no such key.
pub(super) fn preset(class: PoolClass, name: &str, cpus: usize, is_embedded: bool) -> Option<Value> {
    let settings = defaults(class, cpus, is_embedded);
    let seconds = |time: std::time::Duration| match time.subsec_nanos() {
        0 => i64::try_from(time.as_secs()).map_or_else(|_| Value::Float(time.as_secs_f64()), Value::Integer),
        _ => Value::Float(time.as_secs_f64()),
    };
    match name {
        "workers" => Some(Value::Integer(settings.workers.into())),
        "processes_max" => Some(Value::Integer(settings.processes_max.into())),
        "threads" => Some(Value::Integer(settings.threads.into())),
        "queue_max" => Some(Value::Integer(settings.queue_max.into())),
        "retries" => Some(Value::Integer(settings.retries.into())),
        "startup_timeout_s" => Some(seconds(settings.startup_timeout)),
        "queue_timeout_s" => Some(seconds(settings.queue_timeout)),
        "execution_timeout_s" => Some(seconds(settings.execution_timeout)),
        "idle_timeout_s" => Some(seconds(settings.idle_timeout.unwrap_or_default())),
        "eager" => Some(Value::Boolean(settings.eager)),
        "record" => Some(Value::String(settings.record.name().to_owned())),
        _ => None,
    }
}
