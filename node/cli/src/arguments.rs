//! The command line. The options of a command stand in the command's own file.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::command::{
    audit, cert, cluster, completion, config, doctor, env, eval, execution, local, member, pool, program, run, session,
    snapshot, token, variable, worker,
};
use crate::echo::quoted;
use crate::output::Format;
use crate::{demo, dev};

/// Runs DSPy programs: evaluates them on supervised worker processes, and survives the loss of any of them.
#[derive(Debug, Parser)]
#[command(
    name = "dspex",
    version,
    propagate_version = true,
    max_term_width = 110,
    after_help = "Examples:\n  dspex eval qa.py:qa --devset dev.jsonl --metric qa.py:exact\n  dspex eval qa.py:qa --devset dev.csv --metric qa.py:exact --lm openai/gpt-4o-mini --fail-under 80%\n  dspex run                                  the runs, newest first\n  dspex run resume ID                        go on where a run was interrupted\n  dspex demo                                 see a run on three nodes survive kill -9\n\nExit codes: 0 ok, 1 the work failed, 2 wrong usage, 3 gate not met, 4 permission, 5 not found, 6 unreachable (safe to retry), 7 limit reached, 130 interrupted"
)]
pub struct Arguments {
    /// The options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// How to print what goes to stdout [default: table]
    #[arg(short, long, global = true, value_enum, value_name = "FORMAT")]
    pub output: Option<Format>,
    /// The same as -o json
    #[arg(long, global = true, conflicts_with = "output")]
    pub json: bool,
    /// Say more on stderr
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// No notes and no progress on stderr; warnings and errors remain
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Give up after this many seconds; a run that the command follows is cancelled and can be resumed
    #[arg(long, global = true, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    pub command_timeout: Option<Duration>,
    /// The node to talk to: HOST:PORT, https://HOST:PORT or unix:PATH [default: the embedded node, started on demand]
    #[arg(long, global = true, env = "DSPEX_ADDRESS", hide_env_values = true)]
    pub address: Option<String>,
    /// The file with the token of that node [default: what a node on this machine left for its user]
    #[arg(long, global = true, value_name = "FILE", env = "DSPEX_TOKEN_FILE", hide_env_values = true)]
    pub token_file: Option<PathBuf>,
    /// Talk to the node by TLS: the file with the certificate (PEM) of the authority that signed the node's own
    #[arg(long, global = true, value_name = "FILE", env = "DSPEX_CA", hide_env_values = true)]
    pub ca: Option<PathBuf>,
    /// An address was given, and set aside.
    #[arg(skip)]
    pub is_address_set_aside: bool,
}

impl Global {
    /// For a command that talks to no node that is named.
    #[must_use]
    pub fn without_address(self) -> Self {
        Self { is_address_set_aside: self.address.is_some(), address: None, token_file: None, ..self }
    }

    /// `-o` or `--json`.
    pub fn format(&self) -> Format {
        match (self.json, self.output) {
            (true, _) => Format::Json,
            (false, chosen) => chosen.unwrap_or(Format::Table),
        }
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Evaluate a program on a dataset with a metric
    Eval(Box<eval::Options>),
    /// List, follow, resume and delete runs
    Run(run::Options),
    /// Call commands and programs on warm workers, and show how their pools are
    Pool(pool::Options),
    /// List, drain and restart the Python processes of a node
    Worker(worker::Options),
    /// Show the Pythons in which a node executes what is sent to it
    Env(env::Options),
    /// Create, show, change and delete replicated sessions
    Session(session::Options),
    /// Show what programs and commands were given and gave
    Execution(execution::Options),
    /// Store, show and delete programs with their versions and optimizations
    Program(program::Options),
    /// Set, show and delete variables of the cluster
    Variable(variable::Options),
    /// Show the cluster: its members, its health, a digest of its state
    Cluster(cluster::Options),
    /// Add, promote, demote and remove members, and hand over the leadership
    Member(member::Options),
    /// Make, list and revoke tokens
    Token(token::Options),
    /// Show who changed what
    Audit(audit::Options),
    /// Save the state of the cluster to a file, verify one, make a new cluster of one
    Snapshot(snapshot::SnapshotArguments),
    /// Show or stop the embedded node
    Local(local::Options),
    /// Watch an evaluation on three nodes lose a worker and a node, and reach the same score
    Demo(demo::Options),
    /// Run a cluster on this machine in the foreground, to try things
    Dev(dev::Options),
    /// Print a completion script for a shell
    Completion(completion::Options),
    /// Speaks gRPC for the Python package, on the socket that is its stdin
    #[command(hide = true)]
    Client,
    /// Make certificates for peers, and show them
    Cert(cert::CertArguments),
    /// Show, check and describe the configuration of a node
    Config(config::ConfigArguments),
    /// Look for what is wrong with this machine, its Python and its node
    Doctor(doctor::DoctorArguments),
    /// Run one node in the foreground, on TCP behind a token
    Node(NodeArguments),
}

/// The arguments of `dspex node`, which the program hands to the node itself.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  dspex node --config dspex.toml\n  dspex --address 127.0.0.1:7400 pool stats     from another terminal; the token is found\n  dspex --address node-1.example:7400 --ca ca.pem --token-file web.token pool stats     from another machine\n\ndspex.toml, all of it optional but the interpreter:\n  data_dir = \"data\"                        beside the file\n  [api]\n  listen = \"127.0.0.1:7400\"                beyond loopback only with:\n  certificate = \"certs/node.pem\"            TLS for both listeners (`dspex cert init`)\n  key = \"certs/node.key\"\n  [http]                                     /healthz/startup|live|ready, /metrics\n  listen = \"127.0.0.1:7480\"\n  [python]\n  interpreter = \"/opt/app/.venv/bin/python\"\n  environment = [\"OPENAI_API_KEY\"]         names of variables that workers get\n  [pools.general]                            also pools.optimizer, pools.inference\n  workers = 4\n  commands = [\"tools.py\"]\n\nDSPEX_API__LISTEN and the like go before the file. `dspex config schema` has every key, `dspex config validate FILE` checks a file."
)]
pub struct NodeArguments {
    /// Which node.
    #[command(flatten)]
    pub which: WhichNode,
    /// The process that started it: the node ends with it
    #[arg(long, hide = true, value_name = "PID")]
    pub parent: Option<i32>,
}

/// Which node to run.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub struct WhichNode {
    /// The settings
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The home directory of an embedded node, which has no TCP port
    #[arg(long, hide = true)]
    pub home: Option<PathBuf>,
}

/// An id, a name or a file. An empty one comes from a variable that a script has not set, and a node would take it for "those of
/// all", or for no choice at all.
pub fn identifier(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("it is empty: say which one is meant, or leave the option out".to_owned());
    }
    Ok(text.to_owned())
}

/// Seconds, with a fraction; more than nothing.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text
        .parse()
        .map_err(|_| format!("{} is not a number of seconds: more than 0, like 1.5 or 60", quoted(text)))?;
    match Duration::try_from_secs_f64(number) {
        // A century stands for "for ever" and keeps sums of times from overflowing.
        Ok(duration) if !duration.is_zero() && duration < Duration::from_secs(3_155_760_000) => Ok(duration),
        _ => Err(format!("{} is not a time limit: more than 0 seconds and less than a century", quoted(text))),
    }
}

/// How long something lives, where no word at all means for ever.
pub fn life(text: &str) -> Result<Duration, String> {
    seconds(text).map_err(|why| format!("{why}; leave it out for a life without an end"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn runs_of_this_machine_are_asked_for_before_or_behind_the_verb() {
        for line in ["dspex run --local", "dspex run --local resume x", "dspex run watch x --local"] {
            let arguments = Arguments::try_parse_from(line.split(' ')).expect(line);
            assert!(matches!(arguments.command, Command::Run(options) if options.is_local()), "{line}");
        }
        let arguments = Arguments::try_parse_from(["dspex", "run", "list"]).expect("valid");
        assert!(matches!(arguments.command, Command::Run(options) if !options.is_local()));
    }

    #[test]
    fn global_options_stand_anywhere() {
        for line in ["dspex --json run list", "dspex run list -o json", "dspex run -o json list", "dspex run --json"] {
            let arguments = Arguments::try_parse_from(line.split(' ')).expect(line);
            assert_eq!(arguments.global.format(), Format::Json, "{line}");
        }
        assert!(Arguments::try_parse_from(["dspex", "run", "--json", "-o", "csv"]).is_err());
    }

    /// What may be empty: a beginning of names, what is said of a version, JSON (which says so itself), a choice of fields.
    const MAY_BE_EMPTY: [&str; 8] =
        ["prefix", "note", "value", "arguments", "signature", "inputs", "address", "advertise"];

    /// A command line with all that a command requires, in which one argument is empty.
    fn with_an_empty(command: &clap::Command, path: &[String], id: &clap::Id) -> Vec<String> {
        let mut line = path.to_vec();
        for argument in command.get_arguments() {
            let is_it = argument.get_id() == id;
            let needed =
                is_it || argument.is_required_set() || (argument.is_positional() && is_before(command, argument, id));
            if !needed {
                continue;
            }
            line.extend(argument.get_long().map(|long| format!("--{long}")));
            if !argument.get_action().takes_values() {
                continue;
            }
            let possible = argument.get_possible_values().first().map(|value| value.get_name().to_owned());
            let is_pair = argument.get_value_names().is_some_and(|names| names.iter().any(|name| name.contains('=')));
            let sample = || if is_pair { "n=h" } else { "x:1" }.to_owned();
            line.push(if is_it { String::new() } else { possible.unwrap_or_else(sample) });
        }
        line
    }

    fn is_before(command: &clap::Command, argument: &clap::Arg, id: &clap::Id) -> bool {
        let place = |id: &clap::Id| command.get_arguments().find(|one| one.get_id() == id)?.get_index();
        place(argument.get_id()) < place(id)
    }

    fn check_texts(command: &clap::Command, path: &[String], checked: &mut u32) {
        for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
            let path: Vec<String> = path.iter().cloned().chain([inner.get_name().to_owned()]).collect();
            check_texts(inner, &path, checked);
        }
        for argument in command.get_arguments() {
            let is_text = argument.get_action().takes_values()
                && argument.get_value_parser().type_id() == clap::builder::ValueParser::string().type_id();
            if !is_text || MAY_BE_EMPTY.contains(&argument.get_id().as_str()) {
                continue;
            }
            let line = with_an_empty(command, path, argument.get_id());
            let error = Arguments::try_parse_from(&line).expect_err("refused").to_string();
            assert!(error.contains("invalid value ''"), "{line:?}: {error}");
            *checked += 1;
        }
    }

    #[test]
    fn no_command_takes_an_empty_id_or_name() {
        let mut command = Arguments::command();
        command.build();
        let mut checked = 0;
        check_texts(&command, &["dspex".to_owned()], &mut checked);
        assert!(checked > 50, "only {checked} arguments were looked at");
    }

    #[test]
    fn a_negative_time_is_refused_as_a_time_wherever_one_is_taken() {
        for line in [
            "dspex run --command-timeout -1",
            "dspex member drain node-2 --wait -1",
            "dspex pool call general ping --timeout -1",
            "dspex session execute s ping --queue-timeout -1",
            "dspex session create s --ttl -1",
            "dspex token create web --role runner --ttl -1",
        ] {
            let told = Arguments::try_parse_from(line.split(' ')).expect_err(line).to_string();
            assert!(told.contains("more than 0 seconds") && !told.contains("tip:"), "{line}: {told}");
        }
    }

    #[test]
    fn time_limits_are_positive() {
        assert_eq!(seconds("1.5"), Ok(Duration::from_millis(1500)));
        for text in ["0", "-1", "nan", "inf", "1e300", "soon"] {
            assert!(seconds(text).is_err(), "{text}");
        }
        assert!(life("0").is_err_and(|why| why.contains("leave it out")));
    }
}
