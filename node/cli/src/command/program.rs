//! `dspex program`: programs that are stored on the cluster, under one version after another.

mod shown;
mod write;

use clap::{Args, Subcommand, ValueEnum};
use dspex_api::v1::{
    self, GetProgramRequest, ListOptimizationsRequest, ListProgramsRequest, ProgramHistoryRequest, ProgramStatus,
};
use serde_json::{Map, Value};

use crate::arguments::identifier;
use crate::error::CommandError;
use crate::exit;
use crate::freshness::Freshness;
use crate::invocation::Invocation;
use crate::listing::{self, Listing, Page};

/// The arguments of `dspex program`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  dspex program put qa --signature 'question -> answer'\n  dspex program put qa qa.json --if-version 1 --note 'with demos'   refused when somebody else has written\n  dspex program put qa --set temperature=0.2                        its variables alone\n  dspex program put qa --signature 'q -> a' --session user-123      for one session; it leaves with it\n  dspex program status qa ready\n  dspex program show qa\n  dspex program show qa --at 1                                      an earlier version; the last 20 are kept\n  dspex program list --status ready\n  dspex program delete qa --yes\n\nA file has the JSON that create_program takes, without an id:\n  {\"signature\": \"question -> answer: float\", \"module\": \"chain_of_thought\", \"instructions\": \"...\", \"lm\": \"openai/gpt-4o-mini\"}\n  {\"program\": \"qa.py:program\", \"state\": {...}}"
)]
pub struct Options {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List programs in the order of their names
    List(List),
    /// Show a program: what it is made of, its variables, what its optimizations gave
    Show(Show),
    /// Store a program, or its next version
    Put(write::Put),
    /// Say how far a program is
    Status(write::SetStatus),
    /// Remove a program with its history
    Delete(write::Delete),
    /// List the versions of a program that are kept, newest first
    History(One),
    /// List what the optimizations of a program gave, newest first; the last 100 are kept
    Optimizations(One),
}

#[derive(Debug, Default, Args)]
struct List {
    /// Those of a session [default: those of all]
    #[arg(long, value_name = "ID", value_parser = identifier)]
    session: Option<String>,
    /// Only those that are so far
    #[arg(long, value_enum)]
    status: Option<Status>,
    /// Only names that begin like this
    #[arg(long, default_value = "")]
    prefix: String,
    /// All of them, not the first 100
    #[arg(long)]
    all: bool,
    /// How fresh the answer must be
    #[arg(long, value_enum, default_value_t = Freshness::Linearizable)]
    read: Freshness,
}

#[derive(Debug, Args)]
struct Show {
    /// Its name
    #[arg(value_parser = identifier)]
    program: String,
    /// One of a session's own
    #[arg(long, value_name = "ID", value_parser = identifier)]
    session: Option<String>,
    /// Where the session has none of this name: that of all
    #[arg(long, requires = "session")]
    or_global: bool,
    /// An earlier version
    #[arg(long, value_name = "VERSION")]
    at: Option<u64>,
    /// How fresh the answer must be
    #[arg(long, value_enum, default_value_t = Freshness::Linearizable)]
    read: Freshness,
}

#[derive(Debug, Args)]
struct One {
    /// Its name
    #[arg(value_parser = identifier)]
    program: String,
    /// One of a session's own
    #[arg(long, value_name = "ID", value_parser = identifier)]
    session: Option<String>,
    /// How fresh the answer must be
    #[arg(long, value_enum, default_value_t = Freshness::Linearizable)]
    read: Freshness,
}

/// How far a program is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Status {
    /// Worked on; what a new program is
    Draft,
    /// For use
    Ready,
    /// Another one takes its place
    Deprecated,
}

impl Status {
    fn wire(self) -> ProgramStatus {
        match self {
            Self::Draft => ProgramStatus::Draft,
            Self::Ready => ProgramStatus::Ready,
            Self::Deprecated => ProgramStatus::Deprecated,
        }
    }
}

/// Does what the verb says; the bare noun lists.
pub async fn execute(invocation: &Invocation, options: Options) -> Result<u8, CommandError> {
    match options.verb {
        None => list(invocation, List::default()).await,
        Some(Verb::List(options)) => list(invocation, options).await,
        Some(Verb::Show(options)) => show(invocation, options).await,
        Some(Verb::Put(options)) => write::put(invocation, options).await,
        Some(Verb::Status(options)) => write::set_status(invocation, options).await,
        Some(Verb::Delete(options)) => write::delete(invocation, options).await,
        Some(Verb::History(options)) => history(invocation, options).await,
        Some(Verb::Optimizations(options)) => optimizations(invocation, options).await,
    }
}

async fn list(invocation: &Invocation, options: List) -> Result<u8, CommandError> {
    let List { session, status, prefix, all, read } = options;
    let client = invocation.node().await?;
    let session_id = session.unwrap_or_default();
    let status = status.map_or(ProgramStatus::Unspecified, Status::wire).into();
    let ask = async |after: String, limit: u32| {
        let (session_id, prefix, freshness) = (session_id.clone(), prefix.clone(), read.wire().into());
        let request = ListProgramsRequest { session_id, after, limit, prefix, status, freshness };
        let page = client.list_programs(request).await.map_err(|error| read.refusal(error))?;
        Ok(Page { items: page.items, total: page.total, truncated: page.truncated })
    };
    let Page { items: programs, total, truncated } =
        listing::pages(all, |program: &v1::Program| program.name.clone(), ask).await?;
    let listing = Listing {
        items: programs.iter().map(shown::outline).collect(),
        // The cluster's total: of those of a session, or of a status, nobody counts all.
        counts: Map::from_iter([("programs".to_owned(), Value::from(total))]),
        truncated,
        total: None,
        header: vec!["PROGRAM", "VERSION", "STATUS", "UPDATED", "SIGNATURE"],
        rows: programs.iter().map(shown::row).collect(),
    };
    listing.print(invocation.format, &invocation.console)?;
    Ok(exit::OK)
}

async fn show(invocation: &Invocation, options: Show) -> Result<u8, CommandError> {
    let Show { program, session, or_global, at, read } = options;
    let client = invocation.node().await?;
    let request = GetProgramRequest {
        name: program,
        session_id: session.unwrap_or_default(),
        or_global,
        program_id: String::new(),
        version: at,
        freshness: read.wire().into(),
    };
    let program = client.program(request).await.map_err(|error| read.refusal(error))?;
    let history = ListOptimizationsRequest {
        name: program.name.clone(),
        session_id: program.session_id.clone(),
        freshness: read.wire().into(),
    };
    let optimizations = client.list_optimizations(history).await.map_err(|error| read.refusal(error))?;
    listing::show_as(shown::object(&program, &optimizations), invocation.format, shown::page)?;
    Ok(exit::OK)
}

async fn history(invocation: &Invocation, options: One) -> Result<u8, CommandError> {
    let One { program, session, read } = options;
    let client = invocation.node().await?;
    let request =
        ProgramHistoryRequest { name: program, session_id: session.unwrap_or_default(), freshness: read.wire().into() };
    let versions = client.program_history(request).await.map_err(|error| read.refusal(error))?;
    let listing = Listing {
        items: versions.iter().map(shown::version).collect(),
        counts: Map::from_iter([("versions".to_owned(), Value::from(versions.len()))]),
        header: vec!["VERSION", "WRITTEN", "BY", "SIGNATURE", "NOTE"],
        rows: versions.iter().map(shown::version_row).collect(),
        ..Listing::default()
    };
    listing.print(invocation.format, &invocation.console)?;
    Ok(exit::OK)
}

async fn optimizations(invocation: &Invocation, options: One) -> Result<u8, CommandError> {
    let One { program, session, read } = options;
    let client = invocation.node().await?;
    let request = ListOptimizationsRequest {
        name: program,
        session_id: session.unwrap_or_default(),
        freshness: read.wire().into(),
    };
    let recorded = client.list_optimizations(request).await.map_err(|error| read.refusal(error))?;
    let listing = Listing {
        items: recorded.iter().map(shown::optimization).collect(),
        counts: Map::from_iter([("optimizations".to_owned(), Value::from(recorded.len()))]),
        header: vec!["NUMBER", "OPTIMIZER", "VERSION", "RECORDED", "METRICS"],
        rows: recorded.iter().map(shown::optimization_row).collect(),
        ..Listing::default()
    };
    listing.print(invocation.format, &invocation.console)?;
    Ok(exit::OK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_word() {
        for status in Status::value_variants() {
            let word = status.to_possible_value().expect("not hidden").get_name().to_owned();
            assert_eq!(shown::status(status.wire().into()), word);
        }
    }
}
