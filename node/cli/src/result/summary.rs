//! The short result of a run, for people.

use dspex_api::v1::{Run, RunStatus};

use super::object::status_name;
use crate::run_commands::RunCommands;

/// Lines of what matters first; `commands` reach the run.
pub fn summary(run: &Run, commands: RunCommands) -> String {
    let score = match (run.status(), run.score) {
        (RunStatus::Finished, Some(score)) => score.to_string(),
        (status, _) => format!("none ({})", status_name(status)),
    };
    let mut examples = run.examples.to_string();
    if run.done < run.examples {
        examples = format!("{} of {}", run.done, run.examples);
    }
    if run.failed > 0 {
        examples.push_str(&format!(", {} failed", run.failed));
    }
    let mut lines = vec![("Score", score), ("Examples", examples), ("Duration", duration(run.duration_ms))];
    let tokens: u64 = run.usage.values().filter_map(|usage| usage.tokens.get("total_tokens")).sum();
    if tokens > 0 {
        lines.push(("Tokens", tokens.to_string()));
    }
    lines.push(("Run", run.run_id.clone()));
    lines.push(("Results", commands.of("results", &run.run_id)));
    lines.iter().map(|(name, value)| format!("{name:9} {value}\n")).collect()
}

/// Milliseconds as people say them.
pub fn duration(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        0..60 => format!("{:.1} s", milliseconds as f64 / 1000.0),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_score_stands_first() {
        let run = Run {
            run_id: "r".into(),
            status: RunStatus::Finished.into(),
            score: Some(96.5),
            examples: 200,
            done: 200,
            failed: 2,
            duration_ms: 1234,
            ..Run::default()
        };
        assert_eq!(
            summary(&run, RunCommands::AsEver),
            "Score     96.5\nExamples  200, 2 failed\nDuration  1.2 s\nRun       r\nResults   dspex run results r\n"
        );
        assert!(summary(&run, RunCommands::Here).ends_with("Results   dspex run --local results r\n"));
    }

    #[test]
    fn durations_are_readable() {
        assert_eq!([duration(90), duration(61_000), duration(7_260_000)], ["0.1 s", "1 min 1 s", "2 h 1 min"]);
    }
}
