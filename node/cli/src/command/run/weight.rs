//! `dspex run weight`.

use clap::Args;
use dspex_api::v1::WeighRunRequest;
use serde_json::Value;

use crate::arguments::identifier;
use crate::error::CommandError;
use crate::exit;
use crate::follow::new_request_id;
use crate::invocation::Invocation;
use crate::output::{self, Format};
use crate::result;
use crate::run_id;

/// The arguments of `dspex run weight`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  dspex run weight 01a1fda7-bbcf 4\n\nWhere nodes have no room for all workers that runs want, a run with weight 4 has four times the workers of one with\nweight 1, which is the default. A run that is under way comes to its share within seconds; a lighter one ends workers for it as soon as they\nhave done what they have."
)]
pub struct Options {
    /// The run's id, or its beginning
    #[arg(value_parser = identifier)]
    run: String,
    /// From 1 to 100
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100))]
    weight: u32,
}

/// Weighs the run.
pub async fn execute(invocation: &Invocation, options: Options) -> Result<u8, CommandError> {
    let client = invocation.node().await?;
    let run_id = run_id::resolve(&client, &options.run).await?;
    let weight = options.weight;
    let run = client.weigh(WeighRunRequest { request_id: Some(new_request_id()), run_id, weight }).await?;
    if invocation.format != Format::Table {
        output::json(&Value::Object(result::evaluation(&run)))?;
    }
    invocation.console.note(&format!("run {} has weight {weight}", run.run_id));
    Ok(exit::OK)
}
