//! The confinement of one worker: from its order to the removal of its directory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use dspex_sandbox::{Judge, Listener, Order, OwnDirectory, supervise};

use super::Sandbox;
use super::watch::Watched;
use crate::environment::Environment;
use crate::memory::{Controller, Group};
use crate::protocol::Hello;
use crate::worker::Control;

/// What a worker applies, in this order. It names them in its hello.
const STEPS: [&str; 4] = ["limits", "privileges", "landlock", "seccomp"];

/// Of a worker that is about to be forked.
#[derive(Debug)]
pub(crate) struct Confinement {
    pub(super) sandbox: Arc<Sandbox>,
    pub(super) own: OwnDirectory,
    /// Where it starts.
    pub(super) directory: PathBuf,
    pub(super) order: Order,
    pub(super) judge: Judge,
}

/// Of a worker that runs. Its directory is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Confined {
    _own: Arc<OwnDirectory>,
    _processes: Option<Group>,
}

impl Confinement {
    /// What the worker is to apply.
    pub(crate) fn order(&self) -> &Order {
        &self.order
    }

    /// Where it starts.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The variables of a worker that has a home of its own.
    pub(crate) fn environment(&self, given: &Environment) -> Environment {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let mut environment = given.clone();
        environment.insert("HOME".to_owned(), text(self.own.path()));
        for name in ["TMPDIR", "TMP", "TEMP"] {
            environment.insert(name.to_owned(), text(&self.own.temporary()));
        }
        environment
    }

    /// Makes sure that the worker that said hello has applied all of it, and answers for the kernel from here on.
    pub(crate) fn begin(self, worker: &str, hello: &Hello, control: Weak<Control>) -> Result<Confined, String> {
        let listener = accept(hello, &status(hello.pid))?;
        let listener =
            Listener::take(hello.pid, listener).map_err(|error| format!("its calls cannot be judged: {error}"))?;
        let supervising = supervise(listener, self.judge, hello.pid);
        let (name, lost) = (worker.to_owned(), control.clone());
        tokio::spawn(async move {
            if let Err(error) = supervising.await {
                // Its calls would wait for ever.
                tracing::error!(worker = %name, %error, "a worker's calls cannot be judged any more: it is ended");
                if let Some(control) = lost.upgrade() {
                    control.kill();
                }
            }
        });
        let own = Arc::new(self.own);
        self.sandbox.watch.add(Watched { own: Arc::downgrade(&own), worker: hello.pid, control });
        let processes = u64::from(self.sandbox.setup.settings.processes);
        // Where no cgroup can be made the worker's own limit holds it, unless its user is root.
        let group = Group::make(worker, Controller::Processes, processes);
        let group = group.and_then(|group| group.take(hello.pid).map(|()| group)).ok();
        Ok(Confined { _own: own, _processes: group })
    }
}

/// The listener of a worker that has applied everything, by its own word and the kernel's.
fn accept(hello: &Hello, status: &io::Result<String>) -> Result<i32, String> {
    if hello.applied != STEPS {
        return Err(format!("it was to apply {}, and has applied {}", STEPS.join(", "), hello.applied.join(", ")));
    }
    let status = status.as_ref().map_err(|error| format!("the kernel does not say how it is confined: {error}"))?;
    for (field, wanted) in [
        ("NoNewPrivs", "1"),
        ("Seccomp", "2"),
        ("CapInh", "0000000000000000"),
        ("CapPrm", "0000000000000000"),
        ("CapEff", "0000000000000000"),
        ("CapAmb", "0000000000000000"),
    ] {
        let said = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        if said.map(str::trim) != Some(wanted) {
            return Err(format!("the kernel says {field} {}, not {wanted}", said.unwrap_or("nothing").trim()));
        }
    }
    hello.listener.ok_or_else(|| "it has no listener".to_owned())
}

fn status(pid: u32) -> io::Result<String> {
    fs::read_to_string(format!("/proc/{pid}/status"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFINED: &str = "Name:\tpython\nCapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n\
                            CapBnd:\t000001ffffffffff\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n";

    fn hello() -> Hello {
        Hello {
            protocol: 1,
            worker: "w1".to_owned(),
            pid: 7,
            applied: STEPS.map(str::to_owned).into(),
            listener: Some(5),
        }
    }

    #[test]
    fn a_worker_that_is_confined_by_its_own_word_and_the_kernels_is_used() {
        assert_eq!(accept(&hello(), &Ok(CONFINED.to_owned())), Ok(5));
    }

    #[test]
    fn a_worker_that_has_not_applied_everything_is_refused() {
        let status = || Ok(CONFINED.to_owned());
        let without = |hello: Hello| accept(&hello, &status()).expect_err("refused");
        for step in STEPS {
            let applied = STEPS.iter().filter(|one| **one != step).map(|one| (*one).to_owned()).collect();
            let why = without(Hello { applied, ..hello() });
            assert!(why.contains(&format!("apply {}", STEPS.join(", "))), "{why}");
        }
        assert!(without(Hello { listener: None, ..hello() }).contains("listener"));
        for (line, wrong) in [
            ("Seccomp:\t2", "Seccomp:\t0"),
            ("NoNewPrivs:\t1", "NoNewPrivs:\t0"),
            ("CapEff:\t0000000000000000", "CapEff:\t000001ffffffffff"),
            ("CapPrm:\t0000000000000000\n", ""),
        ] {
            let why = accept(&hello(), &Ok(CONFINED.replace(line, wrong))).expect_err(wrong);
            assert!(why.contains(line.split(':').next().expect("a name")), "{why}");
        }
        assert!(accept(&hello(), &Err(io::ErrorKind::NotFound.into())).is_err());
    }
}
