//! How fast histories are checked: prints a line of JSON.
//!
//! ```sh
//! cargo run --release --example check_speed -- 100000 1000
//! ```
//! Operations, and the keys that they are on. One in twenty has no answer.

use std::time::Instant;

use dspex_chaos::control::{Simulation, Values};
use dspex_chaos::{invariant, linearizability};

#[expect(clippy::print_stdout, reason = "it is what the example is for")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |place: usize, usual: u64| arguments.get(place).map_or(Ok(usual), |text| text.parse());
    let (operations, keys) = (number(0, 100_000)?, number(1, 1000)?);
    let simulation = Simulation {
        seed: 1,
        clients: 64,
        keys,
        operations: usize::try_from(operations)?,
        unknown_percent: 5,
        refused_percent: 1,
        delete_percent: 1,
        values: Values::Unique,
    };
    let played = simulation.play();
    let begun = Instant::now();
    let report = linearizability::check(&played.history);
    let search_s = begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    let violations = invariant::check(&played.history, played.healed_ns);
    let invariants_s = begun.elapsed().as_secs_f64();
    println!(
        "{{\"operations\":{},\"keys\":{keys},\"search_s\":{search_s:.3},\"operations_per_second\":{:.0},\"steps\":{},\
         \"invariants_s\":{invariants_s:.3},\"violations\":{},\"undecided\":{}}}",
        report.operations,
        report.operations as f64 / search_s,
        report.steps,
        report.violations.len() + violations.len(),
        report.undecided.len(),
    );
    Ok(())
}
