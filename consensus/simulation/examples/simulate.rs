//! Runs simulations: many of them, or one again.
//!
//! ```text
//! simulate --seeds 0..1000            until one fails, then says how to run that one again
//! simulate --seed 7 [--trace]         one, with everything that was seen
//! simulate ... --without MUTANT       with a protection taken away
//! ```
#![expect(clippy::print_stdout, reason = "it is a command")]

use std::ops::Range;
use std::process::ExitCode;
use std::time::Instant;

use dspex_simulation::{Mutant, Simulation, Statistics};

struct Arguments {
    seeds: Range<u64>,
    mutant: Option<Mutant>,
    traces: bool,
    keeps_going: bool,
}

const USAGE: &str = "usage: simulate (--seeds A..B [--keep-going] | --seed N [--trace]) [--without MUTANT]";

fn arguments() -> Option<Arguments> {
    let mut found = Arguments { seeds: 0..0, mutant: None, traces: false, keeps_going: false };
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        match argument.as_str() {
            "--seeds" => {
                let text = given.next()?;
                let (first, end) = text.split_once("..")?;
                found.seeds = first.parse().ok()?..end.parse().ok()?;
            }
            "--seed" => {
                let seed: u64 = given.next()?.parse().ok()?;
                found.seeds = seed..seed + 1;
            }
            "--without" => {
                let name = given.next()?;
                found.mutant = Some(Mutant::ALL.into_iter().find(|mutant| mutant.name() == name)?);
            }
            "--trace" => found.traces = true,
            "--keep-going" => found.keeps_going = true,
            _ => return None,
        }
    }
    (!found.seeds.is_empty()).then_some(found)
}

fn main() -> ExitCode {
    let Some(Arguments { seeds, mutant, traces, keeps_going }) = arguments() else {
        println!("{USAGE}");
        return ExitCode::from(2);
    };
    let (begun, mut statistics, mut failed) = (Instant::now(), Statistics::default(), Vec::new());
    let one = seeds.end - seeds.start == 1;
    for seed in seeds {
        let mut simulation = Simulation::new(seed);
        if let Some(mutant) = mutant {
            simulation = simulation.without(mutant);
        }
        let report = if traces { simulation.traced() } else { simulation }.run();
        statistics.add(&report.statistics);
        if one {
            println!("{report}");
        } else if report.violation.is_some() {
            println!("{report}\nrun it again: simulate --seed {seed} --trace");
        }
        if report.violation.is_some() {
            failed.push(seed);
            if !keeps_going {
                break;
            }
        }
    }
    println!("{statistics}\n{:.1} s; failed: {failed:?}", begun.elapsed().as_secs_f64());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
