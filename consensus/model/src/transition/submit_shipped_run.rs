//! A new run whose code and environment are the cluster's: the same as any other, with a word on where they are.

use crate::state::Decision;
use crate::{RunSubmission, Shipped, State};

pub(crate) fn submit_shipped_run(state: &State, submission: &RunSubmission, shipped: &Shipped) -> Decision {
    let mut submission = submission.clone();
    submission.spec.shipped = Some(Box::new(shipped.clone()));
    super::submit_run(state, &submission)
}
