//! Writes of clients on their way into the log.

use dspex_api::{ApiError, v1};
use dspex_model::{Command, Outcome, Proposal};

use super::{Node, errors, translate};

impl Node {
    /// Puts a client's command into the log, once however often it is sent; what the log refuses is an error.
    pub(super) async fn write(
        &self,
        request: Option<v1::RequestId>,
        actor: Option<String>,
        command: Command,
    ) -> Result<Outcome, ApiError> {
        let _call = self.activity.enter();
        let request = Some(translate::request_id(request)?);
        let proposal = Proposal { request, actor, ..Proposal::internal(command) };
        match self.consensus.propose(proposal).await {
            Ok(Outcome::Rejected(rejection)) => Err(errors::rejection(&rejection)),
            Ok(outcome) => Ok(outcome),
            Err(error) => Err(errors::propose(&error)),
        }
    }
}
