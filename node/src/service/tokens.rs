//! Tokens and the audit trail, for the service Admin.

use dspex_api::v1::{
    AuditEntry, AuditRequest, AuditResponse, CreateTokenRequest, CreateTokenResponse, ListTokensRequest, Token,
};
use dspex_api::{ApiError, Code, reason, v1};
use dspex_model::{Command, Digest, NewToken, Role, TokenId, quoted};
use uuid::Uuid;

use super::{Node, translate};
use crate::secret;

/// A list shows this many unless another number is asked for.
const PAGE: usize = 100;

/// Names of tokens stand in lists and in the audit trail.
const NAME_BYTES_MAX: usize = 100;

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::invalid(reason::REQUEST_INVALID, message)
}

fn shown(id: TokenId, token: &dspex_model::Token) -> Token {
    Token {
        token_id: Uuid::from_u128(id.0).to_string(),
        name: token.name.clone(),
        role: token.role.name().to_owned(),
        created_ms: token.created_ms,
        expires_ms: token.expires_ms,
        revoked_ms: token.revoked_ms,
    }
}

impl Node {
    pub(super) async fn create_token(
        &self,
        actor: Option<String>,
        request: CreateTokenRequest,
    ) -> Result<CreateTokenResponse, ApiError> {
        let CreateTokenRequest { request_id, name, role, ttl_ms } = request;
        if name.trim().is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
            return Err(invalid(format!("a token's name has 1 to {NAME_BYTES_MAX} bytes of text")));
        }
        let role = Role::ALL
            .into_iter()
            .find(|known| known.name() == role)
            .ok_or_else(|| invalid(format!("the role {} does not exist: reader, runner or admin", quoted(&role))))?;
        if ttl_ms == Some(0) {
            return Err(invalid("ttl_ms must be more than 0; leave it out for a token without an end"));
        }
        let secret = secret::generate().map_err(|error| ApiError::internal(error.to_string()))?;
        // Of the request, so that a repeated one names the same token.
        let token = TokenId(translate::request_id(request_id.clone())?.request);
        let digest = Digest::of(secret.as_bytes());
        let new = NewToken { token, name, role, secret: digest, ttl_ms };
        self.write(request_id, actor, Command::CreateToken(Box::new(new))).await?;
        let stored =
            self.read(v1::Freshness::Linearizable.into(), |state| state.token(token).map(|token| token.secret));
        if stored.await? != Some(digest) {
            let message = "this request was executed before, and only its first answer had the secret: revoke the token, and \
                           create another one";
            return Err(ApiError::precondition(reason::REQUEST_INVALID, message));
        }
        Ok(CreateTokenResponse { token: Some(self.shown_token(token).await?), secret })
    }

    pub(super) async fn revoke_token(
        &self,
        actor: Option<String>,
        request_id: Option<v1::RequestId>,
        wanted: &str,
    ) -> Result<Token, ApiError> {
        let id = self.find_token(wanted).await?;
        self.write(request_id, actor, Command::RevokeToken { token: id }).await?;
        self.shown_token(id).await
    }

    /// Revoked ones included, oldest first.
    pub(super) async fn tokens(&self, request: ListTokensRequest) -> Result<Vec<Token>, ApiError> {
        self.read(request.freshness, |state| state.tokens().map(|(id, token)| shown(id, token)).collect()).await
    }

    /// Newest first, and whether there are more.
    pub(super) async fn audit(&self, request: AuditRequest) -> Result<AuditResponse, ApiError> {
        let AuditRequest { limit, freshness } = request;
        let limit = if limit == 0 { PAGE } else { limit as usize };
        self.read(freshness, |state| {
            let mut entries = state.audit();
            let items = entries.by_ref().take(limit).map(|(number, entry)| AuditEntry {
                number,
                at_ms: entry.at_ms,
                actor: entry.actor.clone(),
                action: entry.action.clone(),
                subject: entry.subject.clone(),
                refusal: entry.refusal.clone().unwrap_or_default(),
            });
            let items = items.collect();
            AuditResponse { items, truncated: entries.next().is_some(), total: state.audit().count() as u64 }
        })
        .await
    }

    async fn shown_token(&self, id: TokenId) -> Result<Token, ApiError> {
        let found = self
            .read(v1::Freshness::Linearizable.into(), |state| state.token(id).map(|token| shown(id, token)))
            .await?;
        found.ok_or_else(|| ApiError::not_found(reason::TOKEN_NOT_FOUND, "the token does not exist"))
    }

    /// By its id, or by a name that only one valid token has.
    async fn find_token(&self, wanted: &str) -> Result<TokenId, ApiError> {
        let id = Uuid::try_parse(wanted).ok().map(|id| TokenId(id.as_u128()));
        let matching: Vec<TokenId> = self
            .read(v1::Freshness::Linearizable.into(), |state| {
                let now_ms = state.log_time_ms();
                let wanted = |token: &dspex_model::Token| token.name == wanted && token.is_valid(now_ms);
                let tokens = state.tokens().filter(|(known, token)| Some(*known) == id || wanted(token));
                tokens.map(|(known, _)| known).collect()
            })
            .await?;
        match matching[..] {
            [id] => Ok(id),
            [] => {
                let message =
                    format!("no valid token has the id or name {}; `dspex token list` shows them", quoted(wanted));
                Err(ApiError::not_found(reason::TOKEN_NOT_FOUND, message))
            }
            _ => {
                let message = format!("several tokens have the name {}: use the id", quoted(wanted));
                Err(ApiError::new(Code::NotFound, reason::TOKEN_AMBIGUOUS, message))
            }
        }
    }
}
