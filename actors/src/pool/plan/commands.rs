//! What is known of the commands that calls are of: how long they take, and whether they only compute.

use std::collections::HashMap;

use super::worker::STALLED_US;

/// Of the calls of a command that counts as computing, so many do nothing else.
const COMPUTING_MIN: f64 = 0.9;
/// Commands whose duration is remembered.
const COMMANDS_MAX: usize = 1024;

/// How long an execution took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Took {
    pub duration_us: u64,
    /// The CPU time of a call that never waited for anything but a CPU.
    pub cpu_us: Option<u64>,
}

/// What is known of a command, weighted towards its recent calls.
#[derive(Clone, Copy, Debug)]
pub(super) struct Command {
    /// With a CPU for itself: a wait for a CPU says nothing of the command, and an idle worker would wait for the same CPU.
    pub(super) own_us: f64,
    /// The part of its calls that only compute.
    computing: f64,
}

impl Command {
    fn measured(known: Option<Self>, took: Took) -> Self {
        let own_us = took.cpu_us.map_or(took.duration_us, |cpu| cpu.min(took.duration_us)) as f64;
        let computing = f64::from(u8::from(took.cpu_us.is_some()));
        known.map_or(Self { own_us, computing }, |known| Self {
            own_us: known.own_us + (own_us - known.own_us) / 16.0,
            computing: known.computing + (computing - known.computing) / 16.0,
        })
    }

    /// It is quick, and only computes.
    pub(super) fn computes(self) -> bool {
        self.computing > COMPUTING_MIN && self.own_us < STALLED_US as f64
    }
}

/// The commands of a pool, by number.
#[derive(Clone, Debug, Default)]
pub(super) struct Commands {
    numbers: HashMap<String, u32>,
    measured: Vec<Option<Command>>,
}

impl Commands {
    /// The number of a command; those beyond the limit share one that is never expected to be quick.
    pub(super) fn number(&mut self, name: &str) -> u32 {
        if let Some(&known) = self.numbers.get(name) {
            return known;
        }
        if self.numbers.len() >= COMMANDS_MAX {
            return u32::MAX;
        }
        let number = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
        self.numbers.insert(name.to_owned(), number);
        self.measured.push(None);
        number
    }

    /// `None`: none of its calls has ended yet, or it shares its number.
    pub(super) fn known(&self, number: u32) -> Option<Command> {
        self.measured.get(number as usize).copied().flatten()
    }

    /// One of its calls has ended.
    pub(super) fn measure(&mut self, number: u32, took: Took) {
        if let Some(command) = self.measured.get_mut(number as usize) {
            *command = Some(Command::measured(*command, took));
        }
    }
}
