//! A new token. Two with one secret could not be told apart.

use crate::record::Record;
use crate::state::Decision;
use crate::{NewToken, Outcome, Rejection, State, Token};

pub(crate) fn create_token(state: &State, new: &NewToken) -> Decision {
    if state.token(new.token).is_some() || state.token_of(&new.secret).is_some() {
        return super::rejected(Rejection::TokenExists);
    }
    let now_ms = state.log_time_ms();
    let token = Token {
        name: super::cut(&new.name).to_owned(),
        role: new.role,
        secret: new.secret,
        created_ms: now_ms,
        expires_ms: new.ttl_ms.map(|ttl| now_ms.saturating_add(ttl)),
        revoked_ms: None,
    };
    Decision::new(Outcome::Done).write(Record::Token(new.token, token))
}
