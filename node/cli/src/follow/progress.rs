//! Progress on stderr: a bar on a terminal, lines elsewhere, nothing with `-q`.

use std::time::{Duration, Instant};

use dspex_api::v1::Run;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::milestones::Milestones;
use crate::console::Console;

/// The progress of one run.
pub struct Progress<'a> {
    console: &'a Console,
    form: Form,
    started: Instant,
}

enum Form {
    Bar(ProgressBar),
    Lines(Milestones),
    Silent,
}

impl<'a> Progress<'a> {
    /// Chooses the form and shows the start.
    pub fn new(console: &'a Console, run: &Run) -> Self {
        let form = if console.is_quiet() {
            Form::Silent
        } else if console.is_terminal() {
            let bar =
                ProgressBar::with_draw_target(Some(u64::from(run.examples)), ProgressDrawTarget::stderr_with_hz(10));
            let style = ProgressStyle::with_template("{msg}  {wide_bar} {pos}/{len} [{elapsed}<{eta}]");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            // The clock goes on while nothing arrives.
            bar.enable_steady_tick(Duration::from_millis(500));
            bar.set_message(average(run));
            bar.set_position(u64::from(run.done));
            bar.reset_eta();
            console.set_bar(Some(bar.clone()));
            Form::Bar(bar)
        } else {
            Form::Lines(Milestones::at(run.done, run.examples))
        };
        Self { console, form, started: Instant::now() }
    }

    /// Shows a newer state.
    pub fn update(&mut self, run: &Run) {
        match &mut self.form {
            Form::Bar(bar) => {
                bar.set_message(average(run));
                bar.set_position(u64::from(run.done));
            }
            Form::Lines(milestones) => {
                if milestones.is_due(run.done, run.examples, self.started.elapsed()) {
                    self.console.line(&average(run));
                }
            }
            Form::Silent => {}
        }
    }

    /// Shows the last state, which stays.
    pub fn end(&mut self, run: &Run) {
        let was_bar = matches!(self.form, Form::Bar(_));
        if !was_bar {
            self.update(run);
        }
        self.clear();
        if was_bar && run.done > 0 {
            self.console.line(&average(run));
        }
    }

    /// Removes the bar: other lines follow.
    pub fn clear(&mut self) {
        if let Form::Bar(bar) = &self.form {
            self.console.set_bar(None);
            bar.finish_and_clear();
            self.form = Form::Silent;
        }
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        self.clear();
    }
}

/// DSPy's words.
fn average(run: &Run) -> String {
    let percent = match run.done {
        0 => 0.0,
        done => 100.0 * run.score_sum / f64::from(done),
    };
    format!("Average Metric: {:.2} / {} ({percent:.1}%)", run.score_sum, run.done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_speaks_as_dspy_does() {
        let run = Run { done: 3, score_sum: 2.0, ..Run::default() };
        assert_eq!(average(&run), "Average Metric: 2.00 / 3 (66.7%)");
        assert_eq!(average(&Run::default()), "Average Metric: 0.00 / 0 (0.0%)");
    }
}
