//! A token opens nothing any more. It stays in the list.

use crate::record::Record;
use crate::state::Decision;
use crate::{Outcome, Rejection, State, TokenId};

pub(crate) fn revoke_token(state: &State, id: TokenId) -> Decision {
    let Some(token) = state.token(id) else {
        return super::rejected(Rejection::TokenNotFound);
    };
    if token.revoked_ms.is_some() {
        return Decision::new(Outcome::Done);
    }
    let mut token = token.clone();
    token.revoked_ms = Some(state.log_time_ms());
    Decision::new(Outcome::Done).write(Record::Token(id, token))
}
