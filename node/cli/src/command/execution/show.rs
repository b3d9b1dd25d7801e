//! `dspex execution show`.

use clap::Args;
use dspex_api::Client;
use dspex_api::v1::{ExecutionValue, GetExecutionRequest};
use serde_json::value::RawValue;

use super::object;
use crate::arguments::identifier;
use crate::error::CommandError;
use crate::exit;
use crate::freshness::Freshness;
use crate::invocation::Invocation;
use crate::listing;
use crate::object::Object;
use crate::verbatim::{plain, written};

/// Characters of a value in a table.
const SHOWN_MAX: usize = 2000;

/// The arguments of `dspex execution show`.
#[derive(Debug, Args)]
pub struct Options {
    /// Its id
    #[arg(value_parser = identifier)]
    execution: String,
    /// How fresh the answer must be
    #[arg(long, value_enum, default_value_t = Freshness::Linearizable)]
    read: Freshness,
}

/// Prints the execution; its large values are fetched.
pub async fn execute(invocation: &Invocation, options: Options) -> Result<u8, CommandError> {
    let client = invocation.node().await?;
    let request = GetExecutionRequest { execution_id: options.execution, freshness: options.read.wire().into() };
    let mut execution = client.execution(request).await.map_err(|error| options.read.refusal(error))?;
    for value in [&mut execution.input, &mut execution.output, &mut execution.trace].into_iter().flatten() {
        fetch(&client, value).await?;
    }
    listing::show_as(object(&execution, true), invocation.format, |shown| listing::pairs(&shortened(shown)))?;
    Ok(exit::OK)
}

async fn fetch(client: &Client, value: &mut ExecutionValue) -> Result<(), CommandError> {
    if !value.digest.is_empty() {
        let bytes = client.get_blob(&value.digest).await?;
        value.json = String::from_utf8_lossy(&bytes).into_owned();
        value.digest.clear();
    }
    Ok(())
}

/// For people: what is long is cut, and says so.
fn shortened(shown: &Object) -> Object {
    let short = |value: &RawValue| {
        let text = plain(value);
        if text.chars().count() <= SHOWN_MAX {
            return value.to_owned();
        }
        let begin: String = text.chars().take(SHOWN_MAX).collect();
        written(&format!("{begin} ... ({} bytes; -o json shows all)", text.len()))
    };
    Object(shown.0.iter().map(|(name, value)| (name.clone(), short(value))).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_long_value_is_cut_for_people_and_says_so() {
        let short =
            shortened(&json!({ "input": { "question": "x".repeat(3000) }, "output": [1], "error": null }).into());
        let shown = |name| plain(short.get(name).expect(name));
        assert_eq!([shown("output"), shown("error")], ["[1]", ""]);
        let shown = shown("input");
        assert!(shown.len() < 2100 && shown.ends_with("(3015 bytes; -o json shows all)"), "{shown}");
    }
}
