//! All tokens, with an index by the digest of their secret.

use std::collections::BTreeMap;

use crate::{Digest, Token, TokenId};

/// Kept in memory; the index is derived from the tokens.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Tokens {
    held: BTreeMap<TokenId, Token>,
    by_secret: BTreeMap<Digest, TokenId>,
}

impl Tokens {
    pub(crate) fn get(&self, id: TokenId) -> Option<&Token> {
        self.held.get(&id)
    }

    pub(crate) fn of(&self, secret: &Digest) -> Option<(TokenId, &Token)> {
        let id = *self.by_secret.get(secret)?;
        Some((id, self.held.get(&id)?))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (TokenId, &Token)> {
        self.held.iter().map(|(&id, token)| (id, token))
    }

    /// A token's secret never changes.
    pub(crate) fn insert(&mut self, id: TokenId, token: Token) {
        self.by_secret.insert(token.secret, id);
        self.held.insert(id, token);
    }

    pub(crate) fn remove(&mut self, id: TokenId) {
        if let Some(token) = self.held.remove(&id) {
            self.by_secret.remove(&token.secret);
        }
    }
}
