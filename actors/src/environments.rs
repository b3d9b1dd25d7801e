//! The Pythons in which this node executes what is sent to it. What each of them has is asked once, and again when something was
//! installed; which of them a program gets is decided by `matching`.

mod matching;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use dspex_python::{Environment as Variables, Facts, Zygotes};
use tokio::sync::Mutex;

use crate::error::{SubmitError, SubmitErrorKind};
use matching::{Candidate, Need, choose, table};

pub use matching::Need as EnvironmentNeed;

/// The name of that of `[python]`.
pub const DEFAULT_ENVIRONMENT: &str = "default";

/// What workers need besides dspy.
const NEEDED: [&str; 3] = ["dspy", "cloudpickle", "msgspec"];

/// A Python of the node's, by the name that its file gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedEnvironment {
    /// "default" is that of `[python]`.
    pub name: String,
    /// Absolute path.
    pub interpreter: PathBuf,
}

/// One as people see it.
#[derive(Clone, Debug)]
pub struct EnvironmentView {
    /// Its name and interpreter.
    pub named: NamedEnvironment,
    /// What it has, or why it cannot be used.
    pub facts: Result<Arc<Facts>, String>,
}

/// The environments of a node, the default first; an embedded one has none.
#[derive(Debug)]
pub(crate) struct Environments {
    named: Vec<NamedEnvironment>,
    /// One is asked at a time: a machine has better things to do than to start Pythons.
    known: Mutex<HashMap<String, Known>>,
}

#[derive(Debug)]
struct Known {
    facts: Result<Arc<Facts>, String>,
    /// When what it looks at was changed last.
    changed: Vec<Option<SystemTime>>,
}

impl Environments {
    pub(crate) fn new(named: Vec<NamedEnvironment>) -> Self {
        Self { named, known: Mutex::default() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.named.is_empty()
    }

    /// The one of this name.
    pub(crate) fn find(&self, name: &str) -> Result<&NamedEnvironment, SubmitError> {
        self.named.iter().find(|named| named.name == name).ok_or_else(|| {
            let names: Vec<&str> = self.named.iter().map(|named| named.name.as_str()).collect();
            let message = match names.is_empty() {
                true => "an embedded node has no environments: each run has the Python of its caller".to_owned(),
                false => format!(
                    "this node has no environment {}; it has {} (dspex env list)",
                    dspex_model::quoted(name),
                    names.join(", ")
                ),
            };
            SubmitError::new(SubmitErrorKind::EnvironmentNotFound, message)
        })
    }

    /// One that agrees with what is needed: this one, if it does, else the first that does.
    pub(crate) async fn matching(
        &self,
        need: &Need,
        preferred: Option<&str>,
        zygotes: &Zygotes,
        variables: &Variables,
    ) -> Result<&NamedEnvironment, SubmitError> {
        let mut order: Vec<&NamedEnvironment> = self.named.iter().collect();
        order.sort_by_key(|named| Some(named.name.as_str()) != preferred);
        let mut asked = Vec::new();
        for named in order {
            let facts = self.facts(named, zygotes, variables).await;
            let candidate = Candidate { name: &named.name, interpreter: &named.interpreter, facts };
            if choose(need, &candidate) {
                return Ok(named);
            }
            asked.push(candidate);
        }
        Err(SubmitError::new(SubmitErrorKind::EnvironmentMismatch, table(need, &asked)))
    }

    /// All of them.
    pub(crate) async fn views(&self, zygotes: &Zygotes, variables: &Variables) -> Vec<EnvironmentView> {
        let mut views = Vec::new();
        for named in &self.named {
            views.push(EnvironmentView { named: named.clone(), facts: self.facts(named, zygotes, variables).await });
        }
        views
    }

    /// What an environment has: as it was said before, unless something has changed since.
    pub(crate) async fn facts(
        &self,
        named: &NamedEnvironment,
        zygotes: &Zygotes,
        variables: &Variables,
    ) -> Result<Arc<Facts>, String> {
        let mut known = self.known.lock().await;
        if let Some(Known { facts: Ok(facts), changed }) = known.get(&named.name) {
            let looked_at = Arc::clone(facts);
            let interpreter = named.interpreter.clone();
            let present = tokio::task::spawn_blocking(move || times(&interpreter, &looked_at.paths)).await;
            if present.is_ok_and(|present| present == *changed) {
                return Ok(Arc::clone(facts));
            }
        }
        let asked = zygotes.facts(&named.interpreter, variables).await;
        let facts = asked.and_then(|facts| usable(&named.interpreter, facts).map(Arc::new));
        let (interpreter, paths) =
            (named.interpreter.clone(), facts.as_ref().map(|facts| facts.paths.clone()).unwrap_or_default());
        let changed = tokio::task::spawn_blocking(move || times(&interpreter, &paths)).await.unwrap_or_default();
        known.insert(named.name.clone(), Known { facts: facts.clone(), changed });
        facts
    }
}

/// What is installed or removed changes the directory that it lies in.
fn times(interpreter: &Path, paths: &[PathBuf]) -> Vec<Option<SystemTime>> {
    let looked_at = std::iter::once(interpreter).chain(paths.iter().map(PathBuf::as_path));
    looked_at.map(|path| std::fs::metadata(path).and_then(|found| found.modified()).ok()).collect()
}

fn usable(interpreter: &Path, facts: Facts) -> Result<Facts, String> {
    let missing: Vec<&str> = NEEDED.into_iter().filter(|name| !facts.distributions.contains_key(*name)).collect();
    if missing.is_empty() {
        return Ok(facts);
    }
    let (shown, names) = (interpreter.display(), missing.join(" "));
    Err(format!("it has no {}. Install: {shown} -m pip install {names}", missing.join(" and no ")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn an_environment_without_what_workers_need_says_what_to_install() {
        let facts = |names: &[&str]| Facts {
            distributions: names.iter().map(|name| ((*name).to_owned(), "1".to_owned())).collect::<BTreeMap<_, _>>(),
            ..Facts::default()
        };
        assert!(usable(Path::new("/p"), facts(&NEEDED)).is_ok());
        let why = usable(Path::new("/p"), facts(&["cloudpickle"])).expect_err("refused");
        assert_eq!(why, "it has no dspy and no msgspec. Install: /p -m pip install dspy msgspec");
    }

    #[test]
    fn an_unknown_name_is_told_with_those_that_there_are() {
        let named = |name: &str| NamedEnvironment { name: name.to_owned(), interpreter: "/p".into() };
        let environments = Environments::new(vec![named("default"), named("nlp")]);
        assert_eq!(environments.find("nlp").map(|named| named.name.as_str()).ok(), Some("nlp"));
        let error = environments.find("npl").expect_err("unknown");
        assert_eq!(error.kind, SubmitErrorKind::EnvironmentNotFound);
        assert!(error.message.contains("default, nlp"), "{error}");
        assert!(Environments::new(Vec::new()).find("x").is_err_and(|error| error.message.contains("embedded")));
    }
}
