//! Many clients at one correct register a key, in simulated time: histories that are right, whatever the interleaving.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::{Chance, Register};
use crate::{Action, History, Operation, Outcome};

/// What is simulated; the same for the same fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Simulation {
    /// All chance comes from it.
    pub seed: u64,
    /// Clients, each with one operation at a time.
    pub clients: u64,
    /// Keys; each operation is on one of them by chance.
    pub keys: u64,
    /// Operations in all, without the final reads.
    pub operations: usize,
    /// How many of a hundred have no answer.
    pub unknown_percent: u8,
    /// How many of a hundred are refused.
    pub refused_percent: u8,
    /// How many of a hundred are deletes.
    pub delete_percent: u8,
    /// What is written.
    pub values: Values,
}

/// What simulated clients write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// Each write another value, as drivers should: most can be concluded from it.
    Unique,
    /// One of three, so that a value does not say who wrote it.
    Few,
}

/// A history that is right.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Simulated {
    /// The operations, ending with a read of every key.
    pub history: History,
    /// When faults ended; the final reads begin after it.
    pub healed_ns: u64,
}

impl Simulation {
    /// Plays it.
    pub fn play(&self) -> Simulated {
        let mut play = Play {
            simulation: self,
            chance: Chance::new(self.seed),
            operations: Vec::with_capacity(self.operations),
            registers: HashMap::new(),
            versions: HashMap::new(),
            events: BinaryHeap::new(),
        };
        (0..self.clients).for_each(|client| play.events.push(Reverse((client, Event::Invoke(client)))));
        let healed_ns = play.run();
        let history = History::new(play.operations).expect("a register answers what can be answered");
        Simulated { history, healed_ns }
    }
}

/// What happens at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Invoke(u64),
    /// Its client will learn of it.
    Effect(usize),
    /// Nobody will learn of it.
    SilentEffect(usize),
    Answer(usize),
}

struct Play<'a> {
    simulation: &'a Simulation,
    chance: Chance,
    operations: Vec<Operation>,
    registers: HashMap<u64, Register>,
    /// What a client last knew of a key.
    versions: HashMap<(u64, u64), u64>,
    events: BinaryHeap<Reverse<(u64, Event)>>,
}

const MICROSECOND: u64 = 1000;

impl Play<'_> {
    /// The time of the end, before the final reads.
    fn run(&mut self) -> u64 {
        while let Some(Reverse((now, event))) = self.events.pop() {
            match event {
                Event::Invoke(client) if self.operations.len() < self.simulation.operations => self.invoke(now, client),
                Event::Invoke(_) => {}
                Event::Effect(place) => self.operations[place].outcome = self.effect(place),
                Event::SilentEffect(place) => {
                    self.effect(place);
                }
                Event::Answer(place) => self.answer(now, place),
            }
        }
        let last = self.operations.iter().map(|operation| operation.completed_ns).max().unwrap_or(0);
        let healed_ns = last + MICROSECOND;
        for number in 0..self.simulation.keys {
            let invoked_ns = healed_ns + number * MICROSECOND;
            let outcome = self.registers.entry(number).or_default().apply(&Action::Get);
            let (action, key) = (Action::Get, key(number));
            let completed_ns = invoked_ns + MICROSECOND / 2;
            self.operations.push(Operation { client: 0, key, action, invoked_ns, completed_ns, outcome });
        }
        healed_ns
    }

    fn invoke(&mut self, now: u64, client: u64) {
        let number = self.chance.below(self.simulation.keys);
        let action = self.action(client, number);
        let place = self.operations.len();
        let effect = now + self.duration();
        let answer = effect + self.duration();
        let unknown = Outcome::Unknown { reason: "time-out".to_owned() };
        let outcome = if self.chance.percent(self.simulation.unknown_percent) {
            // It happens late, perhaps after the client has given up, or never.
            if self.chance.percent(60) {
                let late = effect + self.chance.below(40) * self.duration();
                self.events.push(Reverse((late, Event::SilentEffect(place))));
            }
            unknown
        } else if self.chance.percent(self.simulation.refused_percent) {
            Outcome::Refused { reason: "no leader".to_owned() }
        } else {
            self.events.push(Reverse((effect, Event::Effect(place))));
            unknown
        };
        self.events.push(Reverse((answer, Event::Answer(place))));
        let key = key(number);
        self.operations.push(Operation { client, key, action, invoked_ns: now, completed_ns: answer, outcome });
    }

    fn effect(&mut self, place: usize) -> Outcome {
        let operation = &self.operations[place];
        self.registers.entry(number(&operation.key)).or_default().apply(&operation.action)
    }

    fn answer(&mut self, now: u64, place: usize) {
        let operation = &self.operations[place];
        let client = operation.client;
        if let Some(version) = operation.known_version() {
            self.versions.insert((client, number(&operation.key)), version);
        }
        let pause = self.chance.below(200 * MICROSECOND);
        self.events.push(Reverse((now + 1 + pause, Event::Invoke(client))));
    }

    fn action(&mut self, client: u64, number: u64) -> Action {
        if self.chance.percent(self.simulation.delete_percent) {
            return Action::Delete { expected_version: self.expected(client, number) };
        }
        match self.chance.below(10) {
            0..4 => Action::Get,
            4 => Action::Create { value: self.value(client) },
            _ => Action::Update { expected_version: self.expected(client, number), value: self.value(client) },
        }
    }

    fn expected(&mut self, client: u64, number: u64) -> Option<u64> {
        let known = self.versions.get(&(client, number)).copied();
        known.filter(|_| self.chance.percent(50))
    }

    fn value(&mut self, client: u64) -> String {
        match self.simulation.values {
            Values::Unique => format!("{client}-{}", self.operations.len()),
            Values::Few => ["red", "green", "blue"][usize::try_from(self.chance.below(3)).unwrap_or(0)].to_owned(),
        }
    }

    /// Mostly short; now and then long, so that an operation spans many others.
    fn duration(&mut self) -> u64 {
        let most = if self.chance.percent(5) { 5000 } else { 300 };
        1 + self.chance.below(most * MICROSECOND)
    }
}

fn key(number: u64) -> String {
    format!("s{number}")
}

fn number(key: &str) -> u64 {
    key[1..].parse().expect("made by `key`")
}
