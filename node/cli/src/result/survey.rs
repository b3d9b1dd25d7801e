//! A first pass over the results: what a CSV header and a Parquet schema need before the first row.
//!
//! A run that is still executing gets results between two passes, in the middle as well as at the end. The second pass
//! leaves out what the first has not seen: its columns are not in the header.

use dspex_api::Client;
use dspex_api::v1::{ExampleResult, RunResultsRequest};

use super::for_each;
use super::row::merged;
use super::shape::Shape;
use crate::error::CommandError;
use crate::exit;
use crate::object::Object;

/// What the first pass has seen.
#[derive(Debug, Default)]
pub struct Survey {
    /// The columns of all rows.
    pub shape: Shape,
    /// The examples, ascending, as the node sends them.
    examples: Vec<u32>,
}

impl Survey {
    /// Reads all results once, as the rows that will be written of them.
    pub async fn of(
        client: &Client,
        request: RunResultsRequest,
        row: impl Fn(&ExampleResult) -> Result<Object, CommandError>,
    ) -> Result<Self, CommandError> {
        let mut survey = Self::default();
        for_each(client, request, |result| {
            survey.add(result.index, &row(&result)?);
            Ok(true)
        })
        .await?;
        Ok(survey)
    }

    /// Whether the first pass has seen this example's result.
    pub fn has(&self, example: u32) -> bool {
        self.examples.binary_search(&example).is_ok()
    }

    fn add(&mut self, example: u32, row: &Object) {
        self.shape.add(row);
        self.examples.push(example);
    }
}

/// A result as a row. What is not JSON was not written by a node of this version.
pub fn row(result: &ExampleResult, metric: &str) -> Result<Object, CommandError> {
    merged(result, metric)
        .map_err(|error| CommandError::new(exit::FAILED, format!("the node sent a result that is not JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_that_came_after_the_survey_are_not_in_it() {
        let mut survey = Survey::default();
        for example in [0, 2, 5] {
            survey.add(example, &serde_json::from_str(r#"{"q":1}"#).expect("JSON"));
        }
        // 1 and 3 were executed between the passes, 6 after them.
        let second: Vec<u32> = [0, 1, 2, 3, 5, 6].into_iter().filter(|example| survey.has(*example)).collect();
        assert_eq!(second, [0, 2, 5]);
        assert_eq!(survey.shape.columns.len(), 1);
    }
}
