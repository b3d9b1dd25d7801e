//! Programs that do to their process what no program should: each costs its own examples, and nothing else.

mod deadlines;
mod deaths;
mod orphans;
mod poison;
mod subject;
mod unruly;
