//! `dspex env`: the Pythons in which a node executes what is sent to it.

use clap::{Args, Subcommand};
use dspex_api::v1::Environment;
use serde_json::{Map, Value, json};

use crate::arguments::identifier;
use crate::error::CommandError;
use crate::exit;
use crate::invocation::Invocation;
use crate::listing::{self, Listing};
use crate::object::Object;
use crate::verbatim::plain;

const DISTRIBUTIONS: &str = "distributions";

/// The arguments of `dspex env`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  dspex env                          the same as dspex env list\n  dspex --address node-1.example:7400 env list -o json\n  dspex env show default            with all that is installed there\n\nA `dspex node` has the environment `default` of `[python]`, and one for each `[environments.NAME]` of its dspex.toml. A run gets the\nfirst that agrees with what its program needs; `dspex eval --environment NAME` names one."
)]
pub struct Options {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the environments of the node
    List,
    /// Show one environment with its distributions
    Show {
        /// Its name
        #[arg(value_name = "NAME", value_parser = identifier)]
        name: String,
    },
}

/// Does what the verb says; the bare noun lists.
pub async fn execute(invocation: &Invocation, options: Options) -> Result<u8, CommandError> {
    match options.verb {
        None | Some(Verb::List) => {
            let environments = match invocation.running_node().await? {
                Some(client) => client.environments().await?,
                None => Vec::new(),
            };
            if environments.is_empty() && !invocation.node_has_environment() {
                invocation.console.note("the embedded node has no environments: each run has the Python of its caller");
            }
            list(invocation, &environments)
        }
        Some(Verb::Show { name }) => {
            let environment = invocation.node().await?.environment(&name).await?;
            listing::show_as(object(&environment, true), invocation.format, text)?;
            Ok(exit::OK)
        }
    }
}

fn list(invocation: &Invocation, environments: &[Environment]) -> Result<u8, CommandError> {
    let listing = Listing {
        items: environments.iter().map(|environment| object(environment, false)).collect(),
        counts: listing::counts(environments.iter().map(state)),
        header: vec!["NAME", "PYTHON", "DSPY", "CLOUDPICKLE", "PACKAGES", "INTERPRETER"],
        rows: environments.iter().map(row).collect(),
        ..Listing::default()
    };
    listing.print(invocation.format, &invocation.console)?;
    for environment in environments.iter().filter(|environment| !environment.error.is_empty()) {
        invocation.console.warning(&format!("{}: {}", environment.name, environment.error));
    }
    Ok(exit::OK)
}

fn state(environment: &Environment) -> &'static str {
    if environment.error.is_empty() { "usable" } else { "broken" }
}

fn row(environment: &Environment) -> Vec<String> {
    let count = match environment.error.is_empty() {
        true => environment.distribution_count.to_string(),
        false => "broken".to_owned(),
    };
    vec![
        environment.name.clone(),
        environment.python.clone(),
        environment.dspy.clone(),
        environment.cloudpickle.clone(),
        count,
        environment.interpreter.clone(),
    ]
}

fn object(environment: &Environment, whole: bool) -> Value {
    let or_null = |text: &str| if text.is_empty() { Value::Null } else { Value::from(text) };
    let mut object = json!({
        "name": environment.name,
        "interpreter": environment.interpreter,
        "python": or_null(&environment.python),
        "dspy": or_null(&environment.dspy),
        "cloudpickle": or_null(&environment.cloudpickle),
        "packages": environment.distribution_count,
        "error": or_null(&environment.error),
    });
    if whole {
        let installed = environment.distributions.iter();
        let installed: Map<String, Value> =
            installed.map(|one| (one.name.clone(), Value::from(one.version.as_str()))).collect();
        object[DISTRIBUTIONS] = Value::Object(installed);
    }
    object
}

/// Distributions one a line, beneath the rest.
fn text(object: &Object) -> String {
    let rest = object.0.iter().filter(|(name, _)| name != DISTRIBUTIONS).cloned().collect();
    let installed = object.get(DISTRIBUTIONS).and_then(|installed| serde_json::from_str(installed.get()).ok());
    let installed: Object = installed.unwrap_or_default();
    let lines: String = installed.0.iter().map(|(name, version)| format!("  {name} {}\n", plain(version))).collect();
    let heading = if lines.is_empty() { "" } else { "distributions\n" };
    format!("{}{heading}{lines}", listing::pairs(&Object(rest)))
}

#[cfg(test)]
mod tests {
    use dspex_api::v1::Distribution;

    use super::*;

    fn environment() -> Environment {
        Environment {
            name: "nlp".to_owned(),
            interpreter: "/opt/nlp/bin/python".to_owned(),
            python: "3.12.3".to_owned(),
            dspy: "3.4.1".to_owned(),
            cloudpickle: "3.1.2".to_owned(),
            distribution_count: 1,
            distributions: vec![Distribution { name: "dspy".to_owned(), version: "3.4.1".to_owned() }],
            error: String::new(),
        }
    }

    #[test]
    fn one_environment_is_shown_with_what_is_installed() {
        let shown = text(&object(&environment(), true).into());
        assert!(shown.contains("python       3.12.3\n") && shown.ends_with("distributions\n  dspy 3.4.1\n"), "{shown}");
        assert_eq!(object(&environment(), false)["distributions"], Value::Null);
    }

    #[test]
    fn one_that_cannot_be_used_is_said_to_be_broken() {
        let broken = Environment { python: String::new(), error: "it has no dspy".to_owned(), ..environment() };
        assert_eq!((state(&broken), row(&broken)[4].as_str()), ("broken", "broken"));
        assert_eq!(object(&broken, false)["python"], Value::Null);
    }
}
