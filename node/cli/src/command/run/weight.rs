//! `dspex run weight`.

use clap::Args;
use dspex_api::v1::WeighRunRequest;
use dspex_api::{ApiError, reason};
use serde_json::Value;

use crate::arguments::identifier;
use crate::echo::quoted;
use crate::error::CommandError;
use crate::exit;
use crate::follow::new_request_id;
use crate::invocation::Invocation;
use crate::output::{self, Format};
use crate::result;
use crate::run_id;

/// A node refuses more.
const WEIGHT_MAX: u32 = 100;

/// The arguments of `dspex run weight`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  dspex run weight 01a1fda7-bbcf 4\n\nWhere nodes have no room for all workers that runs want, a run with weight 4 has four times the workers of one with\nweight 1, which is the default. A run that is under way comes to its share within seconds; a lighter one ends workers for it as soon as they\nhave done what they have. One that can go on keeps its weight for then; a run that has finished or failed is not weighed."
)]
pub struct Options {
    /// The run's id, or its beginning
    #[arg(value_parser = identifier)]
    run: String,
    /// From 1 to 100
    #[arg(value_parser = weight_of, allow_negative_numbers = true)]
    weight: u32,
}

fn weight_of(text: &str) -> Result<u32, String> {
    let known = text.parse::<u32>().ok().filter(|weight| (1..=WEIGHT_MAX).contains(weight));
    known.ok_or_else(|| format!("{} is not a weight: a whole number from 1 to {WEIGHT_MAX}", quoted(text)))
}

/// Weighs the run.
pub async fn execute(invocation: &Invocation, options: Options) -> Result<u8, CommandError> {
    let client = invocation.node().await?;
    let run_id = run_id::resolve(&client, &options.run).await?;
    let weight = options.weight;
    let request = WeighRunRequest { request_id: Some(new_request_id()), run_id, weight };
    let run = client.weigh(request).await.map_err(refusal)?;
    if invocation.format != Format::Table {
        output::json(&Value::Object(result::evaluation(&run)))?;
    }
    invocation.console.note(&format!("run {} has weight {weight}", run.run_id));
    Ok(exit::OK)
}

fn refusal(error: ApiError) -> CommandError {
    let error = CommandError::from(error);
    match error.reason.as_ref() {
        reason::RUN_ENDED if error.hint.is_none() => error.hint(
            "a weight counts while a run executes: nothing is left to share; a retry can be weighed when it runs",
        ),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::arguments::Arguments;

    #[test]
    fn a_weight_that_is_none_is_refused_with_what_may_stand_there() {
        assert_eq!((weight_of("1"), weight_of("100")), (Ok(1), Ok(100)));
        for wrong in ["-1", "0", "101", "1.5", "heavy", "99999999999"] {
            let told =
                Arguments::try_parse_from(["dspex", "run", "weight", "01a1", wrong]).expect_err(wrong).to_string();
            assert!(told.contains("a whole number from 1 to 100") && !told.contains("tip:"), "{told}");
        }
    }

    #[test]
    fn of_a_run_that_is_over_it_is_said_what_a_weight_is_for() {
        let over = refusal(ApiError::precondition(reason::RUN_ENDED, "the run is finished, not running"));
        assert_eq!(
            (over.exit, over.hint.is_some_and(|hint| hint.contains("while a run executes"))),
            (exit::USAGE, true)
        );
        assert_eq!(refusal(ApiError::not_found(reason::RUN_NOT_FOUND, "no run")).hint, None);
    }
}
