//! The options of `dspex eval`.

use std::time::Duration;

use clap::Args;
use dspex_api::v1::Setting;

use crate::arguments::identifier;
use crate::arguments::seconds;
use crate::dataset::Source;
use crate::echo::quoted;
use crate::environment::{self, Variable};
use crate::error::CommandError;
use crate::gate::Gate;
use crate::project::Limit;
use crate::setting;
use crate::strategy::Wish;

/// The node refuses more, but only after it has imported the program.
const NUM_THREADS_MAX: i64 = 4096;
/// A node has no more Python processes, whatever runs ask for.
const WORKERS_MAX: i64 = 64;

/// The arguments of `dspex eval`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  dspex eval qa.py:qa --devset dev.jsonl --metric exact\n  dspex eval qa.py:QA --devset qa.py:devset --metric exact --lm openai/gpt-4o-mini --lm-set temperature=0\n  dspex eval qa.py:qa --devset dev.csv --metric exact --load optimized.json --num-threads 64 --save results.csv\n  dspex eval qa.py:qa --devset dev.jsonl --metric exact --fail-under 80% -o json\n  dspex eval qa.py:qa --devset dev.jsonl --metric exact --resume\n  dspex --address node-1.example:7400 eval qa.py:qa --devset dev.jsonl --metric exact     the project is sent along\n  dspex --address node-1.example:7400 eval qa.py:qa --devset dev.jsonl --metric exact --local     on this machine all the same\n\nWith an address the cluster executes. Where it does not answer, or earlier runs on both sides say that this machine is done\nbefore, this machine does: that is said on stderr and in the object of -o json (strategy, strategy_reason, strategy_detail),\nand decided before anything is submitted. --distributed makes the former an error; --detach, --resume, --environment and\n--in-place are always for the address.\n\nOutput: -o table prints the score and the failures in groups; json ends with one object (run_id, score, digest, ...);\njsonl prints each result as an object (index, score, example, prediction, failure); csv prints the rows that --save writes.\nProgress, notes, warnings and the program's own prints go to stderr."
)]
pub struct Options {
    /// path.py:name or module:name: a dspy.Module, a Module class, or a function that returns one
    #[arg(value_name = "PROGRAM", value_parser = identifier)]
    program: Option<String>,
    /// The examples: a .jsonl, .csv or .parquet file, or path.py:name
    #[arg(long, value_name = "FILE|PY", value_parser = identifier)]
    devset: Option<String>,
    /// A callable (example, prediction) or a Module: path.py:name, module:name, or a name in PROGRAM's file
    #[arg(long, value_parser = identifier)]
    metric: Option<String>,
    /// A model such as openai/gpt-4o-mini, or path.py:name [default: what the program configures]
    #[arg(long, value_parser = identifier)]
    pub(super) lm: Option<String>,
    /// A setting of the LM, as often as needed; the value is JSON or text
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting::parse, requires = "lm")]
    pub(super) lm_set: Vec<Setting>,
    /// The columns that are inputs [default: the parameters of forward, else the signature's inputs]
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub(super) inputs: Vec<String>,
    /// A state that the program saved
    #[arg(long, value_name = "STATE.json", value_parser = identifier)]
    pub(super) load: Option<String>,
    /// Take the first N examples
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), allow_negative_numbers = true)]
    pub(super) limit: Option<u32>,
    /// Examples in flight [default: 8, as in DSPy]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=NUM_THREADS_MAX), allow_negative_numbers = true)]
    pub(super) num_threads: Option<u32>,
    /// Python processes [default: usable CPUs, at most num-threads]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=WORKERS_MAX), allow_negative_numbers = true)]
    pub(super) workers: Option<u32>,
    /// Time limit of an example [default: none, with a warning after 120 s]
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    pub(super) timeout: Option<Duration>,
    /// Executions more after a worker crashed; 0: none, but a resume executes again what was in flight [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=1000), allow_negative_numbers = true)]
    pub(super) retries: Option<u32>,
    /// End the run at this many failed examples [default: 10, as in DSPy]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(super) max_errors: Option<u32>,
    /// The score of a failed example [default: 0]
    #[arg(long, value_name = "X", value_parser = finite, allow_negative_numbers = true)]
    pub(super) failure_score: Option<f64>,
    /// Exit with 3 when the score is below this many percent
    #[arg(long, value_name = "X%", allow_negative_numbers = true, conflicts_with = "detach")]
    pub(super) fail_under: Option<Gate>,
    /// A variable for the program: NAME from your environment, NAME=V stored with the run
    #[arg(long, value_name = "NAME[=V]", value_parser = environment::parse)]
    env: Vec<Variable>,
    /// The interpreter [default: DSPEX_PYTHON, VIRTUAL_ENV, CONDA_PREFIX, .venv above PROGRAM, the one beside dspex]
    #[arg(long, value_name = "PATH", value_parser = identifier)]
    pub(super) python: Option<String>,
    /// The environment of the node to execute in, whatever it has [default: one that agrees with your Python; dspex env list]
    #[arg(long, value_name = "NAME", conflicts_with = "in_place", value_parser = identifier)]
    pub(super) environment: Option<String>,
    /// The node sees this file system: send nothing, execute in this directory with this interpreter
    #[arg(long)]
    pub(super) in_place: bool,
    /// The most that the files of the project may take together when they are sent
    #[arg(long, value_name = "SIZE", env = "DSPEX_BUNDLE_LIMIT", default_value_t = Limit::default())]
    pub(super) bundle_limit: Limit,
    /// Execute on this machine, by the embedded node, whatever the address [default: at the address, unless it is away or slower]
    #[arg(long, conflicts_with = "distributed")]
    local: bool,
    /// Execute by the cluster at the address, and nowhere else
    #[arg(long)]
    distributed: bool,
    /// Save the results as DSPy does: .json, .jsonl, .csv or .parquet
    #[arg(long, value_name = "FILE", conflicts_with = "detach", value_parser = identifier)]
    pub(super) save: Option<String>,
    /// Do not wait: print the run's id and leave it running
    #[arg(long)]
    pub(super) detach: bool,
    /// Go on with RUN, or with the newest unfinished run of an equal specification
    #[arg(long, value_name = "RUN", num_args = 0..=1, value_parser = identifier)]
    pub(super) resume: Option<Option<String>>,
}

/// What must be there for a new run.
pub struct Checked {
    /// PROGRAM.
    pub program: String,
    /// METRIC.
    pub metric: String,
    /// The dataset's form.
    pub source: Source,
    /// `--env NAME=V`.
    pub environment: Vec<Setting>,
    /// `--env NAME`.
    pub environment_names: Vec<String>,
}

impl Options {
    /// What stands behind `--resume`.
    fn resumed(&self) -> Option<&str> {
        self.resume.as_ref()?.as_deref()
    }

    /// The run that `--resume` names. `--resume qa.py:qa` names none: the program was typed behind the option.
    pub fn run_to_resume(&self) -> Option<&str> {
        self.resumed().filter(|id| !id.contains(':'))
    }

    /// Whether `--local` was given.
    pub fn is_local(&self) -> bool {
        self.local
    }

    /// Where it is to be executed.
    pub fn wish(&self) -> Wish {
        match (self.local, self.distributed) {
            (true, _) => Wish::Local,
            (_, true) => Wish::Distributed,
            _ => Wish::Auto,
        }
    }

    /// The first option that is the business of the node at the address: the run is there or stays there, or its environments are.
    pub fn bound(&self) -> Option<&'static str> {
        let given = [
            ("--resume", self.resume.is_some()),
            ("--detach", self.detach),
            ("--environment", self.environment.is_some()),
            ("--in-place", self.in_place),
        ];
        given.into_iter().find(|(_, given)| *given).map(|(option, _)| option)
    }

    /// Options that were given and that a run which is resumed by its id does not follow.
    pub fn unused_in_a_resume(&self) -> Vec<&'static str> {
        let given = [
            ("--devset", self.devset.is_some()),
            ("--metric", self.metric.is_some()),
            ("--lm", self.lm.is_some()),
            ("--inputs", !self.inputs.is_empty()),
            ("--load", self.load.is_some()),
            ("--limit", self.limit.is_some()),
            ("--num-threads", self.num_threads.is_some()),
            ("--workers", self.workers.is_some()),
            ("--timeout", self.timeout.is_some()),
            ("--retries", self.retries.is_some()),
            ("--max-errors", self.max_errors.is_some()),
            ("--failure-score", self.failure_score.is_some()),
            ("--env", !self.env.is_empty()),
            ("--environment", self.environment.is_some()),
        ];
        given.into_iter().filter(|(_, given)| *given).map(|(option, _)| option).collect()
    }

    /// PROGRAM, also when it was taken for the value of `--resume`.
    pub fn program(&self) -> Option<&str> {
        let behind_resume = self.resumed().filter(|id| id.contains(':'));
        self.program.as_deref().or(behind_resume)
    }

    /// The files that the evaluation reads, as given.
    pub fn inputs_read(&self) -> impl Iterator<Item = &str> {
        [self.program(), self.devset.as_deref(), self.load.as_deref()].into_iter().flatten()
    }

    /// Checks what can be checked without the node.
    pub fn check(&self) -> Result<Checked, CommandError> {
        let missing =
            |what: &str| CommandError::usage(format!("{what} is missing")).hint("dspex eval --help shows examples");
        let program = self.program().ok_or_else(|| missing("PROGRAM (path.py:name)"))?;
        let devset = self.devset.as_deref().ok_or_else(|| missing("--devset"))?;
        let metric = beside(program, self.metric.as_deref().ok_or_else(|| missing("--metric"))?);
        for (what, text) in [("PROGRAM", program), ("--metric", metric.as_str())] {
            if !text.rsplit_once(':').is_some_and(|(place, name)| !place.is_empty() && !name.is_empty()) {
                return Err(CommandError::usage(format!(
                    "{what} is path.py:name or module:name, not {}",
                    quoted(text)
                )));
            }
        }
        if self.inputs.iter().any(String::is_empty) {
            return Err(CommandError::usage("--inputs has an empty name"));
        }
        if self.local && self.environment.is_some() {
            return Err(CommandError::usage(
                "--environment names an environment of a cluster, and --local executes on this machine",
            )
            .hint("leave one of the two out; --python chooses the Python on this machine"));
        }
        let (environment, environment_names) = environment::split(&self.env);
        let source = Source::parse(devset)?;
        Ok(Checked { program: program.to_owned(), metric, source, environment, environment_names })
    }
}

fn finite(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err(format!("{} is not a finite number", quoted(text))),
    }
}

/// A bare name is one in PROGRAM's own file or module.
fn beside(program: &str, metric: &str) -> String {
    match program.rsplit_once(':') {
        Some((place, _)) if !metric.is_empty() && !metric.contains(':') => format!("{place}:{metric}"),
        _ => metric.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::arguments::{Arguments, Command};

    fn parse(line: &str) -> Result<Options, clap::Error> {
        let words = ["dspex", "eval"].into_iter().chain(line.split_whitespace());
        match Arguments::try_parse_from(words)?.command {
            Command::Eval(options) => Ok(*options),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn all_options_of_the_contract_are_taken() {
        let options = parse(
            "qa.py:qa --devset d.jsonl --metric qa.py:m --lm openai/x --lm-set temperature=0 --lm-set a=b --inputs a,b \
             --load s.json --limit 5 --num-threads 64 --workers 2 --timeout 1.5 --retries 0 --max-errors 3 \
             --failure-score -1 --fail-under 80% --env A=1 --python p --distributed --save r.csv --environment nlp \
             --bundle-limit 128MiB --resume",
        )
        .expect("valid");
        assert_eq!(options.inputs, ["a", "b"]);
        assert_eq!((options.retries, options.failure_score), (Some(0), Some(-1.0)));
        assert_eq!((options.run_to_resume(), &options.resume), (None, &Some(None)));
        assert!(options.check().is_ok());
    }

    #[test]
    fn nonsense_is_wrong_usage() {
        for line in [
            "a:b --limit 0",
            "a:b --num-threads 0",
            "a:b --num-threads 4097",
            "a:b --workers 0",
            "a:b --workers 65",
            "a:b --timeout 0",
            "a:b --failure-score nan",
            "a:b --fail-under 0.8",
            "a:b --env API_KEY=1",
            "a:b --lm m --lm-set api_key=1",
            "a:b --lm-set temperature=1",
            "a:b --detach --save r.csv",
            "a:b --local --distributed",
            "a:b --bundle-limit 0",
            "a:b --bundle-limit lots",
            "a:b --environment nlp --in-place",
        ] {
            assert_eq!(parse(line).expect_err(line).exit_code(), 2, "{line}");
        }
        for line in ["", "a:b", "a:b --devset d.csv", "a --devset d.csv --metric a:m", "a:b --devset d.csv --metric m:"]
        {
            assert_eq!(parse(line).expect(line).check().err().expect(line).exit, 2, "{line}");
        }
    }

    #[test]
    fn the_place_is_chosen_unless_it_is_said() {
        let wish = |line: &str| parse(line).expect(line).wish();
        assert_eq!(
            [wish("a:b"), wish("a:b --local"), wish("a:b --distributed")],
            [Wish::Auto, Wish::Local, Wish::Distributed]
        );
        let here = "a:b --devset d.csv --metric m --local";
        assert!(parse(here).expect(here).check().is_ok());
        let refused = parse(&format!("{here} --environment nlp")).expect("parsed").check().err().expect("refused");
        assert_eq!(refused.exit, 2);
        assert!(refused.hint.is_some_and(|hint| hint.contains("--python")), "{}", refused.message);
    }

    #[test]
    fn what_is_the_business_of_the_cluster_is_named() {
        let bound = |line: &str| parse(line).expect(line).bound();
        for option in ["--resume", "--detach", "--environment nlp", "--in-place"] {
            assert_eq!(bound(&format!("a:b {option}")), option.split(' ').next(), "{option}");
        }
        assert_eq!(bound("--resume 0198"), Some("--resume"));
        assert_eq!(bound("a:b --limit 5 --workers 2"), None);
    }

    #[test]
    fn the_most_that_a_node_takes_is_taken() {
        let most = parse("a:b --num-threads 4096 --workers 64").expect("valid");
        assert_eq!((most.num_threads, most.workers), (Some(4096), Some(64)));
    }

    #[test]
    fn a_bare_metric_is_one_of_the_programs_file() {
        let metric = |text| parse(text).expect("valid").check().map(|checked| checked.metric).ok();
        assert_eq!(metric("qa.py:qa --devset d.csv --metric exact"), Some("qa.py:exact".to_owned()));
        assert_eq!(metric("qa.py:qa --devset d.csv --metric m.py:exact"), Some("m.py:exact".to_owned()));
    }

    #[test]
    fn resume_takes_a_run_or_nothing() {
        let named = parse("--resume 0198").expect("valid");
        assert_eq!((named.run_to_resume(), named.program()), (Some("0198"), None));
        let swallowed = parse("--resume qa.py:qa --devset d.csv --metric a:m").expect("valid");
        assert_eq!((swallowed.run_to_resume(), swallowed.program()), (None, Some("qa.py:qa")));
    }
}
