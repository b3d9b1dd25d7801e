//! `dspex variable`: variables of the whole cluster, under one version after another.

use clap::{Args, Subcommand};
use dspex_api::v1::{
    self, DeleteVariableRequest, GetVariableRequest, ListVariablesRequest, SetVariableRequest, VariableHistoryRequest,
};
use serde_json::{Map, Value, json};

use crate::arguments::identifier;
use crate::assignment;
use crate::confirm::confirm;
use crate::dates::date;
use crate::echo::shortened;
use crate::error::CommandError;
use crate::exit;
use crate::follow::new_request_id;
use crate::freshness::Freshness;
use crate::invocation::Invocation;
use crate::listing::{self, Listing, Page};
use crate::object::Object;
use crate::reading::{self, VALUE_BYTES_MAX};
use crate::repeat::until_known;
use crate::verbatim::{plain, stored};

/// The arguments of `dspex variable`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  dspex variable set temperature 0.2\n  dspex variable set prompt '\"Answer in one word.\"' --if-version 1   refused when somebody else has written\n  dspex variable show temperature\n  dspex variable show temperature --at 1                             an earlier version; the last 20 are kept\n  dspex variable list --prefix temp\n  dspex variable delete temperature --yes\n\nA value is JSON: a number, \"text\", true, [1, 2], {\"a\": 1}. Variables of one program are set by `dspex program put NAME --set`."
)]
pub struct Options {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List variables in the order of their names
    List {
        /// Only names that begin like this
        #[arg(long, default_value = "")]
        prefix: String,
        /// All of them, not the first 100
        #[arg(long)]
        all: bool,
        /// How fresh the answer must be
        #[arg(long, value_enum, default_value_t = Freshness::Linearizable)]
        read: Freshness,
    },
    /// Show a variable
    Show {
        /// Its name
        #[arg(value_parser = identifier)]
        variable: String,
        /// An earlier version
        #[arg(long, value_name = "VERSION")]
        at: Option<u64>,
        /// How fresh the answer must be
        #[arg(long, value_enum, default_value_t = Freshness::Linearizable)]
        read: Freshness,
    },
    /// Set a variable
    Set {
        /// Its name
        #[arg(value_parser = identifier)]
        variable: String,
        /// Its value: JSON; - reads stdin
        #[arg(value_name = "JSON", allow_hyphen_values = true)]
        value: String,
        /// Refuse when the variable is at another version; 0: when there is one
        #[arg(long, value_name = "VERSION")]
        if_version: Option<u64>,
    },
    /// Remove a variable with its history
    Delete {
        /// Its name
        #[arg(value_parser = identifier)]
        variable: String,
        /// Refuse when the variable is at another version
        #[arg(long, value_name = "VERSION")]
        if_version: Option<u64>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// List the versions of a variable that are kept, newest first
    History {
        /// Its name
        #[arg(value_parser = identifier)]
        variable: String,
        /// How fresh the answer must be
        #[arg(long, value_enum, default_value_t = Freshness::Linearizable)]
        read: Freshness,
    },
}

/// Does what the verb says; the bare noun lists.
pub async fn execute(invocation: &Invocation, options: Options) -> Result<u8, CommandError> {
    match options.verb {
        None => list(invocation, String::new(), false, Freshness::default()).await,
        Some(Verb::List { prefix, all, read }) => list(invocation, prefix, all, read).await,
        Some(Verb::Show { variable, at, read }) => {
            let request = GetVariableRequest { name: variable, version: at, freshness: read.wire().into() };
            let variable = invocation.node().await?.variable(request).await.map_err(|error| read.refusal(error))?;
            listing::show(object(&variable), invocation.format)?;
            Ok(exit::OK)
        }
        Some(Verb::Set { variable, value, if_version }) => set(invocation, variable, value, if_version).await,
        Some(Verb::Delete { variable, if_version, yes }) => delete(invocation, variable, if_version, yes).await,
        Some(Verb::History { variable, read }) => history(invocation, variable, read).await,
    }
}

async fn list(invocation: &Invocation, prefix: String, all: bool, read: Freshness) -> Result<u8, CommandError> {
    let client = invocation.node().await?;
    let ask = async |after: String, limit: u32| {
        let request = ListVariablesRequest { after, limit, prefix: prefix.clone(), freshness: read.wire().into() };
        let page = client.list_variables(request).await.map_err(|error| read.refusal(error))?;
        Ok(Page { items: page.items, total: page.total, truncated: page.truncated })
    };
    let Page { items: variables, total, truncated } =
        listing::pages(all, |variable: &v1::Variable| variable.name.clone(), ask).await?;
    let listing = Listing {
        items: variables.iter().map(object).collect(),
        counts: Map::from_iter([("variables".to_owned(), Value::from(total))]),
        truncated,
        // The cluster's total: of those with a prefix nobody counts all.
        total: prefix.is_empty().then_some(total),
        header: vec!["VARIABLE", "VERSION", "WRITTEN", "VALUE"],
        rows: variables.iter().map(row).collect(),
    };
    listing.print(invocation.format, &invocation.console)?;
    Ok(exit::OK)
}

async fn set(
    invocation: &Invocation,
    name: String,
    value: String,
    if_version: Option<u64>,
) -> Result<u8, CommandError> {
    let value = match value.as_str() {
        "-" => reading::text("-", "the value", VALUE_BYTES_MAX)?.trim().to_owned(),
        _ => value,
    };
    assignment::checked(&value)
        .map_err(|why| CommandError::usage(format!("{why}: dspex variable set {} '\"text\"'", shortened(&name))))?;
    let request = SetVariableRequest { request_id: Some(new_request_id()), name, expected_version: if_version, value };
    let client = invocation.node().await?;
    let set = async || client.set_variable(request.clone()).await;
    let written = until_known(invocation.deadline, &invocation.console, &look(&request.name), set).await?;
    listing::show(json!({"variable": written.name, "version": written.version}), invocation.format)?;
    Ok(exit::OK)
}

async fn delete(invocation: &Invocation, name: String, if_version: Option<u64>, yes: bool) -> Result<u8, CommandError> {
    let client = invocation.node().await?;
    // A variable that does not exist is said before anything is asked.
    let get = GetVariableRequest { name: name.clone(), ..GetVariableRequest::default() };
    let version = client.variable(get).await?.version;
    confirm(&format!("delete variable {name} at version {version} with its history"), &name, yes)?;
    let request =
        DeleteVariableRequest { request_id: Some(new_request_id()), name: name.clone(), expected_version: if_version };
    let delete = async || client.delete_variable(request.clone()).await;
    until_known(invocation.deadline, &invocation.console, &look(&name), delete).await?;
    invocation.console.note(&format!("deleted variable {name}"));
    Ok(exit::OK)
}

async fn history(invocation: &Invocation, name: String, read: Freshness) -> Result<u8, CommandError> {
    let client = invocation.node().await?;
    let request = VariableHistoryRequest { name, freshness: read.wire().into() };
    let versions = client.variable_history(request).await.map_err(|error| read.refusal(error))?;
    let listing = Listing {
        items: versions.iter().map(object).collect(),
        counts: Map::from_iter([("versions".to_owned(), Value::from(versions.len()))]),
        header: vec!["VERSION", "WRITTEN", "BY", "VALUE"],
        rows: versions
            .iter()
            .map(|version| {
                let value = plain(&stored(&version.value));
                vec![version.version.to_string(), date(version.written_ms), version.written_by.clone(), value]
            })
            .collect(),
        ..Listing::default()
    };
    listing.print(invocation.format, &invocation.console)?;
    Ok(exit::OK)
}

fn object(variable: &v1::Variable) -> Object {
    let object = json!({
        "variable": variable.name,
        "version": variable.version,
        "newest_version": variable.newest_version,
        "value": null,
        "created_unix_ms": variable.created_ms,
        "written_unix_ms": variable.written_ms,
        "written_by": variable.written_by,
    });
    Object::from(object).with("value", stored(&variable.value))
}

fn row(variable: &v1::Variable) -> Vec<String> {
    let value = plain(&stored(&variable.value));
    vec![variable.name.clone(), variable.version.to_string(), date(variable.written_ms), value]
}

/// How a person sees whether a write was executed.
fn look(name: &str) -> String {
    format!("dspex variable show {} shows what stands there, once there is a quorum", shortened(name))
}
