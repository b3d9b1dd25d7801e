//! A run on many nodes, in steps that a seed draws: the plan and the placement of `actors`, compiled here by path, and the model's own
//! `State::apply`, while lines break, nodes and workers die, the owner changes, and a user pauses, cancels, resumes and retries.
//!
//! ```text
//! owner ── orders ──► hosted ──► workers ──► recorder ──┐        a line loses what is on it, and each end learns of it later
//!   ▲ └───────────► own workers ──► recorder ──┐        │
//!   └── reports ◄── hosted                     ▼        ▼
//! effects ◄──────────────────────────────── ledger: State::apply, once for the log and once for each node
//! ```
//! The log is taken for granted here: it may be slow, say nothing or be out of reach, and takes a proposal twice; what may happen to it is what
//! the rest of this crate is for. Messages go as their bytes. What is a double of an actor says so; whoever changes the original
//! changes it.
//!
//! What must hold is said by `ledger`, entry by entry, and by `world` at the end.

mod acts;
mod hosted;
mod ledger;
mod lines;
mod node;
mod owner;
#[path = "../../../actors/src/evaluation/placement.rs"]
#[expect(dead_code, reason = "a run of the simulation says how many workers it wants")]
mod placement;
#[path = "../../../actors/src/evaluation/plan.rs"]
#[expect(dead_code, reason = "examples of the simulation have no deadlines")]
mod plan;
#[path = "../../../actors/src/evaluation/prefetch.rs"]
mod prefetch;
mod story;
mod subject;
mod tally;
#[path = "../../../actors/src/evaluation/unrecorded.rs"]
mod unrecorded;
mod world;

use std::fmt;

use dspex_model::Digest;

use story::Story;
use subject::Subject;
pub use tally::Tally;
use world::World;

/// A run to be simulated; the same for the same fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evaluation {
    seed: u64,
    nodes: u64,
    mutant: Option<RunMutant>,
}

/// Protections of runs that can be taken away. Each must then be missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunMutant {
    /// Results of an earlier generation count.
    AcceptsOldGenerations,
    /// A later result of an example takes the place of the first one, and counts once more.
    DropsFirstWins,
    /// What a lost node had executed and not recorded is waited for.
    ForgetsLostResults,
    /// An owner that has started again names its workers as it did before.
    ReusesKeys,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluated {
    /// Repeats it.
    pub evaluation: Evaluation,
    /// What was broken first.
    pub violation: Option<String>,
    /// The run's score and digest, where it has finished.
    pub result: Option<(Option<f64>, Digest)>,
    /// What was done.
    pub tally: Tally,
    /// What went wrong when, for people.
    pub story: String,
}

impl RunMutant {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::AcceptsOldGenerations, Self::DropsFirstWins, Self::ForgetsLostResults, Self::ReusesKeys];

    /// Begins what is found: a violation of another promise would prove nothing of it.
    pub fn broken(self) -> &'static str {
        match self {
            Self::AcceptsOldGenerations => "generations fence",
            Self::DropsFirstWins => "the first result counts",
            Self::ForgetsLostResults => "runs finish",
            Self::ReusesKeys => "no worker stays",
        }
    }
}

impl Evaluation {
    /// The run of a seed on so many nodes. Its program and dataset are the seed's alone.
    pub fn new(seed: u64, nodes: u64) -> Self {
        Self { seed, nodes, mutant: None }
    }

    /// The same, with a protection taken away.
    #[must_use]
    pub fn without(self, mutant: RunMutant) -> Self {
        Self { mutant: Some(mutant), ..self }
    }

    /// The score and the digest that any number of nodes must give, whatever happens to them.
    pub fn expected(self) -> (Option<f64>, Digest) {
        Subject::draw(self.seed).expected()
    }

    /// Simulates it.
    pub fn run(self) -> Evaluated {
        let subject = Subject::draw(self.seed);
        let story = Story::draw(self.seed, self.nodes);
        let shown = story.to_string();
        let (violation, result, tally) = World::new(self, subject, story).live();
        Evaluated { evaluation: self, violation, result, tally, story: shown }
    }
}

impl fmt::Display for Evaluated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Evaluation { seed, nodes, mutant } = self.evaluation;
        writeln!(f, "seed {seed} on {nodes} nodes, without {mutant:?}: {}", self.tally)?;
        write!(f, "{}", self.story)?;
        match &self.violation {
            Some(violation) => write!(f, "broken: {violation}"),
            None => write!(f, "nothing was broken"),
        }
    }
}
