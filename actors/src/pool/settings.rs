//! The classes of pools and what can be set for each.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::call::EXECUTE_PROGRAM;

/// A class of work with workers of its own, so that one cannot starve another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PoolClass {
    /// Calls of programs and commands.
    General,
    /// Long ones: optimizers.
    Optimizer,
    /// Calls that mostly wait for a model.
    Inference,
}

impl PoolClass {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::General, Self::Optimizer, Self::Inference];

    /// Its name for people and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::General => "general",
            Self::Optimizer => "optimizer",
            Self::Inference => "inference",
        }
    }
}

impl fmt::Display for PoolClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for PoolClass {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|class| class.name() == text).ok_or_else(|| {
            format!("there is no pool {}; the pools are general, optimizer and inference", dspex_model::quoted(text))
        })
    }
}

/// Which calls are executions that the log keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordedCalls {
    /// None.
    None,
    /// Those of programs: of the command `execute_program`.
    Programs,
    /// All but `ping`.
    All,
}

impl RecordedCalls {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::None, Self::Programs, Self::All];

    /// Its name for people and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Programs => "programs",
            Self::All => "all",
        }
    }

    pub(super) fn covers(self, command: &str) -> bool {
        match self {
            Self::None => false,
            Self::Programs => command == EXECUTE_PROGRAM,
            Self::All => command != "ping",
        }
    }
}

/// What can be set for a class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolSettings {
    /// Python processes.
    pub workers: u32,
    /// Python processes of all pools of the class on a node, of whatever environment; those of sessions are of the general class.
    pub processes_max: u32,
    /// Calls in execution at once in each.
    pub threads: u32,
    /// From a worker's fork until it serves: its command modules are imported meanwhile.
    pub startup_timeout: Duration,
    /// Calls that may wait for a worker; further ones are refused.
    pub queue_max: u32,
    /// How long a call may wait, unless it says so itself.
    pub queue_timeout: Duration,
    /// How long a call may take, unless it says so itself.
    pub execution_timeout: Duration,
    /// Executions after the death of a worker that is charged to the call, unless it says so itself.
    pub retries: u32,
    /// Modules that define commands: "module" or "path.py".
    pub commands: Vec<String>,
    /// What answers where a program names no LM.
    pub lm: Option<String>,
    /// Memory of one worker with its children, in bytes.
    pub memory_limit: Option<u64>,
    /// Without a call for so long, the workers end; `None`: never.
    pub idle_timeout: Option<Duration>,
    /// Start the workers with the node, not with the first call.
    pub eager: bool,
    /// Which calls are recorded as executions.
    pub record: RecordedCalls,
    /// Its Python, where that is not the caller's.
    pub python: Option<PathBuf>,
    /// Where its workers start, where that is not the caller's directory.
    pub directory: Option<PathBuf>,
}

impl PoolSettings {
    /// The defaults of a class on a machine with so many CPUs.
    pub fn default_of(class: PoolClass, cpus: usize) -> Self {
        let cpus = u32::try_from(cpus).unwrap_or(1).max(1);
        let general = Self {
            workers: (2 * cpus).min(8),
            processes_max: 64,
            threads: 1,
            startup_timeout: Duration::from_secs(30),
            queue_max: 1000,
            queue_timeout: Duration::from_secs(5),
            execution_timeout: Duration::from_secs(30),
            retries: 1,
            commands: Vec::new(),
            lm: None,
            memory_limit: None,
            idle_timeout: Some(Duration::from_secs(300)),
            eager: false,
            record: RecordedCalls::Programs,
            python: None,
            directory: None,
        };
        match class {
            PoolClass::General => general,
            PoolClass::Optimizer => Self {
                workers: 1,
                queue_max: 100,
                queue_timeout: Duration::from_secs(60),
                execution_timeout: Duration::from_secs(4 * 3600),
                ..general
            },
            PoolClass::Inference => {
                Self { workers: cpus.min(8), threads: 8, execution_timeout: Duration::from_secs(120), ..general }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_default_calls_of_programs_are_recorded() {
        let covered = |calls: RecordedCalls| ["execute_program", "tools.py:add", "ping"].map(|name| calls.covers(name));
        for class in PoolClass::ALL {
            assert_eq!(covered(PoolSettings::default_of(class, 2).record), [true, false, false]);
        }
        assert_eq!(covered(RecordedCalls::All), [true, true, false]);
        assert_eq!(covered(RecordedCalls::None), [false; 3]);
    }
}
