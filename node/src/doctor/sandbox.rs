//! Whether workers of a `dspex node` can be kept to its sandbox here, and are.

use dspex_sandbox::Kernel;

use super::finding::Finding;
use crate::configuration::Configuration;

const CHECK: &str = "sandbox";

/// What there is for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SandboxFacts {
    pub kernel: Kernel,
    /// Of a file; nothing: it is about the embedded node, which has none.
    pub asked: Option<bool>,
    /// Why no cgroup holds the number of processes.
    pub no_cgroup: Option<String>,
    pub is_root: bool,
    /// Directories that programs may read and in which the node's data lies, too.
    pub beside_data: Vec<String>,
}

/// Asks the kernel. A cgroup is made and removed.
pub(super) fn gather(of_file: Option<&Configuration>) -> SandboxFacts {
    let beside = of_file.map(Configuration::readable_beside_data).unwrap_or_default();
    SandboxFacts {
        kernel: Kernel::gather(),
        asked: of_file.map(Configuration::is_sandboxed),
        no_cgroup: dspex_python::probe_process_cgroup().err().map(|error| error.to_string()),
        is_root: rustix::process::geteuid().is_root(),
        beside_data: beside.iter().map(|path| path.display().to_string()).collect(),
    }
}

/// What the facts say.
pub(super) fn check(facts: &SandboxFacts) -> Vec<Finding> {
    let missing = facts.kernel.missing();
    let offers = format!("Landlock {} and seccomp with notifications", facts.kernel.landlock_version());
    let Some(asked) = facts.asked else {
        let says = if missing.is_empty() {
            format!("the embedded node's workers are your own and have none; a `dspex node` would have {offers}")
        } else {
            format!(
                "the embedded node's workers are your own and have none; a `dspex node` would lack {}",
                missing.join("; and ")
            )
        };
        return vec![Finding::ok(CHECK, says)];
    };
    if !asked {
        let says = "workers are not sandboxed: what a caller's program does, the node's user does";
        return vec![Finding::warning(CHECK, says, "take mode = \"off\" out of [sandbox]")];
    }
    if !missing.is_empty() {
        let off =
            "mend it; or, for a node whose callers you trust with all that its user may, mode = \"off\" in [sandbox]";
        return missing
            .into_iter()
            .map(|missing| {
                Finding::failure(CHECK, format!("the node will not start: this machine lacks {missing}"), off)
            })
            .collect();
    }
    let mut findings = vec![Finding::ok(CHECK, format!("workers are sandboxed, by {offers}"))];
    findings.extend(processes(facts));
    findings.extend(facts.beside_data.iter().map(|directory| {
        let says =
            format!("the node's data lies in {directory}, which programs may read: they see the names of its files");
        Finding::warning(CHECK, says, "put data_dir elsewhere; no program reads what is in the files")
    }));
    findings
}

fn processes(facts: &SandboxFacts) -> Option<Finding> {
    let why = facts.no_cgroup.as_ref()?;
    if facts.is_root {
        let says = format!(
            "nothing holds workers to sandbox.processes: no cgroup can be made ({why}), and root has no other limit"
        );
        let advice = "let the node make cgroups (systemd: Delegate=pids memory), or run it as a user of its own";
        return Some(Finding::warning(CHECK, says, advice));
    }
    let says = format!(
        "no cgroup can be made ({why}): the user's limit holds workers to sandbox.processes, all of them together"
    );
    Some(Finding::ok(CHECK, says))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::State;

    fn facts() -> SandboxFacts {
        let kernel = Kernel { landlock: Ok(7), notifies: Ok(()), fetches: Ok(()), ..Kernel::gather() };
        SandboxFacts { kernel, asked: Some(true), no_cgroup: None, is_root: false, beside_data: Vec::new() }
    }

    fn states(facts: &SandboxFacts) -> Vec<State> {
        check(facts).iter().map(|finding| finding.state).collect()
    }

    #[test]
    fn a_machine_with_all_of_it_is_ok_and_what_is_missing_a_failure_each() {
        assert_eq!(states(&facts()), [State::Ok]);
        let refused = || Err("Operation not permitted".to_owned());
        let kernel = Kernel { landlock: refused().map(|()| 0), notifies: refused(), ..facts().kernel };
        let lacking = SandboxFacts { kernel, ..facts() };
        assert_eq!(states(&lacking), [State::Failure, State::Failure]);
        assert!(check(&lacking)[0].says.contains("Landlock (Operation not permitted)"));
        assert_eq!(states(&SandboxFacts { asked: None, ..lacking }), [State::Ok], "the embedded node needs none");
    }

    #[test]
    fn one_that_was_written_out_is_a_warning() {
        assert_eq!(states(&SandboxFacts { asked: Some(false), ..facts() }), [State::Warning]);
    }

    #[test]
    fn a_limit_that_does_not_hold_and_data_beside_programs_are_told() {
        let without = SandboxFacts { no_cgroup: Some("Read-only file system".to_owned()), ..facts() };
        assert_eq!(states(&without), [State::Ok, State::Ok]);
        assert_eq!(states(&SandboxFacts { is_root: true, ..without }), [State::Ok, State::Warning]);
        let beside = SandboxFacts { beside_data: vec!["/srv/app".to_owned()], ..facts() };
        assert_eq!(states(&beside), [State::Ok, State::Warning]);
    }
}
