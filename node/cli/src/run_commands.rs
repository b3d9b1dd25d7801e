//! The commands that are printed for a run: typed as they are printed, they reach the node that has it.

use dspex_api::reason;
use dspex_api::v1::Run;

use crate::error::CommandError;
use crate::invocation::Invocation;

/// Where such a command has to ask.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RunCommands {
    /// Where every command asks.
    #[default]
    AsEver,
    /// At the embedded node, although an address is set.
    Here,
}

impl RunCommands {
    /// `dspex run VERB ID`.
    pub fn of(self, verb: &str, run_id: &str) -> String {
        match self {
            Self::AsEver => format!("dspex run {verb} {run_id}"),
            Self::Here => format!("dspex run --local {verb} {run_id}"),
        }
    }

    /// What continues the run.
    pub fn resume(self, run: &Run) -> String {
        self.of("resume", &run.run_id)
    }
}

/// A cluster does not know of a run that stayed on this machine: says how that is found.
pub fn or_here(invocation: &Invocation, error: CommandError) -> CommandError {
    let is_missing = [reason::RUN_NOT_FOUND, reason::NO_RUN_TO_RESUME].contains(&error.reason.as_ref());
    match error.hint {
        None if is_missing && invocation.node_has_environment() => {
            error.hint("a run that stayed on this machine is found with --local")
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::arguments::Arguments;

    #[test]
    fn commands_for_a_run_that_stayed_here_pass_by_the_address() {
        let run = Run { run_id: "r".to_owned(), ..Run::default() };
        assert_eq!(RunCommands::AsEver.resume(&run), "dspex run resume r");
        assert_eq!(RunCommands::Here.resume(&run), "dspex run --local resume r");
        assert_eq!(RunCommands::Here.of("watch", "r"), "dspex run --local watch r");
    }

    #[test]
    fn who_looks_for_a_run_at_the_cluster_hears_where_else_it_may_be() {
        let line = ["dspex", "run", "--address", "127.0.0.1:7400"];
        let global = Arguments::try_parse_from(line).expect("valid").global;
        let cluster = Invocation::new(&global).expect("an address");
        let hint = |at: &Invocation, reason| or_here(at, CommandError::because(reason, "none")).hint;
        for missing in [reason::NO_RUN_TO_RESUME, reason::RUN_NOT_FOUND] {
            assert!(hint(&cluster, missing).is_some_and(|hint| hint.contains("--local")), "{missing}");
            assert_eq!(hint(&cluster.without_address(), missing), None, "{missing}");
        }
        assert_eq!(hint(&cluster, reason::BLOB_NOT_FOUND), None);
    }
}
