//! `dspex eval` gives what `dspy.Evaluate` gives, to the last digit, for every form of program, metric and dataset.

mod choices;
mod compared;
mod datasets;
mod digits;
mod exported;
mod failures;
mod forms;
mod paused;
mod prints;
mod retried;
mod saved;
mod scores;
