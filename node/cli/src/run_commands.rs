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
    /// `dspex run VERB ID`, or another argument in place of the id.
    pub fn of(self, verb: &str, argument: &str) -> String {
        match self {
            Self::AsEver => format!("dspex run {verb} {argument}"),
            Self::Here => format!("dspex run --local {verb} {argument}"),
        }
    }

    /// What continues the run.
    pub fn resume(self, run: &Run) -> String {
        self.of("resume", &run.run_id)
    }
}

/// A run that was not found: says where the runs are shown, and that a cluster does not know of one that stayed on this machine.
pub fn or_here(invocation: &Invocation, error: CommandError) -> CommandError {
    let shown = match error.reason.as_ref() {
        reason::RUN_NOT_FOUND => Some(format!("{} shows the runs", invocation.run_commands.of("list", "--all"))),
        reason::NO_RUN_TO_RESUME => None,
        _ => return error,
    };
    if error.hint.is_some() {
        return error;
    }
    let is_elsewhere = invocation.node_has_environment();
    let here = is_elsewhere.then(|| "a run that stayed on this machine is found with --local".to_owned());
    let ways: Vec<String> = [shown, here].into_iter().flatten().collect();
    if ways.is_empty() { error } else { error.hint(ways.join("; ")) }
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
    fn who_looks_for_a_run_that_is_not_there_hears_where_runs_are_shown_and_where_else_it_may_be() {
        let line = ["dspex", "run", "--address", "127.0.0.1:7400"];
        let global = Arguments::try_parse_from(line).expect("valid").global;
        let cluster = Invocation::new(&global).expect("an address");
        let hint = |at: &Invocation, reason| or_here(at, CommandError::because(reason, "none")).hint;
        let here = "a run that stayed on this machine is found with --local";
        let both = format!("dspex run list --all shows the runs; {here}");
        assert_eq!(hint(&cluster, reason::RUN_NOT_FOUND), Some(both));
        assert_eq!(hint(&cluster, reason::NO_RUN_TO_RESUME).as_deref(), Some(here));
        let stayed = cluster.without_address();
        assert_eq!(
            hint(&stayed, reason::RUN_NOT_FOUND).as_deref(),
            Some("dspex run --local list --all shows the runs"),
            "the address would lead away from them"
        );
        assert_eq!(hint(&stayed, reason::NO_RUN_TO_RESUME), None);
        assert_eq!(hint(&cluster, reason::BLOB_NOT_FOUND), None);
    }
}
