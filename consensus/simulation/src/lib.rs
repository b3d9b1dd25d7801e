//! A deterministic simulation of consensus, from a seed: openraft, the model, and the files of dspex-consensus that need no
//! IO, over simulated disks, cables, clocks and time, on one thread. It is for tests alone; nothing depends on it.
//!
//! # What it is for
//!
//! The second of three rings of tests. The first one tries each transition by itself (`dspex-model`, `dspex-consensus`), the
//! third one kills real processes. This one tries what neither can: thousands of clusters, each with crashes, cuts, stalls
//! and changes of members at moments that no machine would hit, and each of them again, exactly, when something was wrong.
//!
//! ```text
//! seed ─► settings   how many nodes and clients, how fast disks and cables are
//!      ─► plan       what goes wrong when: data, printed when a seed fails
//!      ─► runtime    which task goes on next, and all chance in openraft
//!
//! clients ─► nodes ─► observer ─► committed   what was agreed on, applied once more, one entry after another
//!             ▲                └► invariants  one file each; the first that is broken ends the simulation
//!           faults
//! ```
//!
//! After the last fault a cluster must heal: within 40 virtual seconds somebody leads, no change of the members is left halfway,
//! every member holds the same state, in memory and on its disk, and all its blobs, and every member can be written through
//! and read at.
//!
//! A zero proves something only if it can be another number: for each protection there is a [`Mutant`] without it, and a test
//! that it is found (`tests/controls.rs`). And [`Statistics`] say what was done: a simulation in which nothing happened
//! cannot pass for one in which nothing broke.
//!
//! # What of it is the product
//!
//! - openraft as it is, with the product's configuration; only numbers of entries are smaller, so that snapshots are common;
//! - `dspex_model`: commands, their bytes, `State::apply`, the records of the state;
//! - files of dspex-consensus, compiled here by path: `attempts`, `blobs/keeper`, `clock`, `machine/batch`, `membership` with
//!   its `copies`, `network/append`, `refusal`, `rounds`, `settling`, `ticks`; and `log_store/unsynced` of dspex-storage. What
//!   they call `tokio` is `dspex-simulation-runtime` here.
//!
//! What does IO there is written again here, as much alike as it can be, and each file says whose double it is: `log`,
//! `machine`, `network`, `served`, `leading`, `following`, `handle`, `start`, `compaction`, `contradiction`, `blobs`. Whoever changes one of
//! those in dspex-consensus changes its double.
//!
//! # Runs on many nodes
//!
//! [`Evaluation`] simulates a run over the workers of many nodes, by itself and without openraft: the log is taken for granted there. See
//! `evaluation.rs`, and `tests/evaluations.rs` for its controls.
//!
//! # What it cannot find
//!
//! Whatever lies in RocksDB, in the transport, in the bytes of messages and log entries, and in the originals of the doubles:
//! `consensus/tests` and `tests` are for these. Nodes that lie. Clocks that run at different speeds; they leap here. Members
//! that move to another address. Blobs of several pieces: each is sent whole here.
//!
//! # How to run a seed again
//!
//! ```text
//! cargo run --release -p dspex-simulation --example simulate -- --seed 7 --trace
//! cargo run --release -p dspex-simulation --example simulate -- --seeds 0..1000
//! ```
//!
//! A seed stands for the same simulation on every machine, as long as the code is the same: what changes the order of tasks or
//! messages makes other simulations of all seeds.

// Files that are compiled here by path have tests of their own, which run where the files live, on the real tokio.
#![cfg(not(test))]

#[path = "../../src/attempts.rs"]
mod attempts;
mod blobs;
mod clients;
#[path = "../../src/clock.rs"]
mod clock;
mod cluster;
mod codec;
mod committed;
mod compaction;
mod conformance;
mod consensus;
mod contradiction;
mod disk;
mod effects;
mod evaluation;
mod faults;
mod following;
mod handle;
mod healing;
mod invariant;
mod leading;
mod log;
mod machine;
mod members;
#[path = "../../src/membership.rs"]
#[expect(
    dead_code,
    unused_imports,
    reason = "no node hands over when it ends here; `Instant` is a trait for tokio's alone"
)]
mod membership;
mod mutant;
mod network;
mod observer;
mod plan;
#[path = "../../src/refusal.rs"]
#[expect(dead_code, reason = "no queue of the simulation is ever full")]
mod refusal;
#[path = "../../src/rounds.rs"]
mod rounds;
mod runs;
mod served;
mod settings;
#[path = "../../src/settling.rs"]
mod settling;
mod simulation;
mod start;
mod statistics;
#[path = "../../src/ticks.rs"]
mod ticks;
mod traps;
mod types;
mod wires;
mod world;

pub use conformance::check_storage;
pub use evaluation::{Evaluated, Evaluation, RunMutant, Tally};
pub use mutant::Mutant;
pub use observer::Violation;
pub use simulation::{Report, Simulation, broken_by};
pub use statistics::Statistics;
