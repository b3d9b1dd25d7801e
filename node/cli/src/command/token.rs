//! `dspex token`: who may do what.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use dspex_api::v1::{CreateTokenRequest, RevokeTokenRequest, Token};
use dspex_api::{ApiError, reason};
use serde_json::{Value, json};

use crate::arguments::identifier;
use crate::arguments::life;
use crate::confirm::confirm;
use crate::dates::date;
use crate::error::CommandError;
use crate::exit;
use crate::follow::new_request_id;
use crate::freshness::Freshness;
use crate::invocation::Invocation;
use crate::listing::{self, Listing};
use crate::repeat::until_known;

/// The arguments of `dspex token`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  dspex token                                        the same as dspex token list\n  dspex token create ci --role runner > ci.token     the secret goes to stdout, once\n  dspex token create board --role reader --ttl 86400\n  dspex token revoke ci --yes\n\nRoles: reader looks, runner submits code as well, admin changes the cluster as well. A node's own token, in its data directory,\nis an admin's on that node, with or without a quorum."
)]
pub struct Options {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the tokens, without their secrets
    List {
        /// How fresh the answer must be
        #[arg(long, value_enum, default_value_t = Freshness::Linearizable)]
        read: Freshness,
    },
    /// Make a token and print its secret
    Create {
        /// Who it is for
        #[arg(value_parser = identifier)]
        name: String,
        /// What it allows
        #[arg(long, value_enum)]
        role: Role,
        /// It ends after so many seconds [default: never]
        #[arg(long, value_name = "SECONDS", value_parser = life, allow_negative_numbers = true)]
        ttl: Option<Duration>,
    },
    /// Let a token open nothing any more
    Revoke {
        /// Its id, or its name
        #[arg(value_parser = identifier)]
        token: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Role {
    /// Looks at everything, changes nothing, executes nothing
    Reader,
    /// Submits code: runs, calls, sessions
    Runner,
    /// Changes the cluster itself: members, tokens
    Admin,
}

/// Does what the verb says; the bare noun lists.
pub async fn execute(invocation: &Invocation, options: Options) -> Result<u8, CommandError> {
    match options.verb {
        None => list(invocation, Freshness::default()).await,
        Some(Verb::List { read }) => list(invocation, read).await,
        Some(Verb::Create { name, role, ttl }) => {
            let role = role.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
            let ttl_ms = ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1));
            create(invocation, CreateTokenRequest { request_id: Some(new_request_id()), name, role, ttl_ms }).await
        }
        Some(Verb::Revoke { token, yes }) => revoke(invocation, token, yes).await,
    }
}

/// Sent once: its secret is in the first answer only, so a second one would be of no use.
async fn create(invocation: &Invocation, request: CreateTokenRequest) -> Result<u8, CommandError> {
    let name = request.name.clone();
    let created = invocation.node().await?.create_token(request).await.map_err(|error| not_told(error, &name))?;
    let token = created.token.unwrap_or_default();
    invocation.console.note(&format!("token {} for {} ({})", token.token_id, token.name, token.role));
    let mut value = object(&token);
    if let Value::Object(object) = &mut value {
        object.insert("secret".to_owned(), Value::from(created.secret.clone()));
    }
    // A file with it is what --token-file takes.
    listing::show_as(value, invocation.format, |_| format!("{}\n", created.secret))?;
    Ok(exit::OK)
}

fn not_told(error: ApiError, name: &str) -> CommandError {
    let error = CommandError::from(error);
    match error.reason.as_ref() {
        reason::OUTCOME_UNKNOWN | reason::NODE_TIMED_OUT | reason::NODE_UNREACHABLE => error
            .hint(format!("its secret is lost: when dspex token list shows {name}, revoke it; then make another one")),
        _ => error,
    }
}

async fn revoke(invocation: &Invocation, token: String, yes: bool) -> Result<u8, CommandError> {
    confirm(&format!("revoke the token {token}"), &token, yes)?;
    let client = invocation.node().await?;
    // Once it is revoked its name leads nowhere; its id does, however often the request is sent.
    let token = only(&client.tokens(Freshness::default().wire()).await?, &token).unwrap_or(token);
    let request = RevokeTokenRequest { request_id: Some(new_request_id()), token };
    let revoke = async || client.revoke_token(request.clone()).await;
    let look = "dspex token list shows whether it is revoked";
    let answer = until_known(invocation.deadline, &invocation.console, look, revoke).await?;
    listing::show(object(&answer.token.unwrap_or_default()), invocation.format)?;
    Ok(exit::OK)
}

/// The id of the only token that is meant, as far as that can be told from here: the node judges what is left.
fn only(tokens: &[Token], wanted: &str) -> Option<String> {
    let is_meant = |token: &&Token| token.token_id == wanted || token.name == wanted && token.revoked_ms.is_none();
    match tokens.iter().filter(is_meant).collect::<Vec<_>>()[..] {
        [token] => Some(token.token_id.clone()),
        _ => None,
    }
}

async fn list(invocation: &Invocation, read: Freshness) -> Result<u8, CommandError> {
    let tokens = invocation.node().await?.tokens(read.wire()).await.map_err(|error| read.refusal(error))?;
    let listing = Listing {
        items: tokens.iter().map(object).collect(),
        counts: listing::counts(tokens.iter().map(|token| token.role.as_str())),
        header: vec!["TOKEN", "NAME", "ROLE", "CREATED", "ENDS", "REVOKED"],
        rows: tokens.iter().map(row).collect(),
        ..Listing::default()
    };
    listing.print(invocation.format, &invocation.console)?;
    Ok(exit::OK)
}

fn object(token: &Token) -> Value {
    json!({
        "token_id": token.token_id,
        "name": token.name,
        "role": token.role,
        "created_unix_ms": token.created_ms,
        "expires_unix_ms": token.expires_ms,
        "revoked_unix_ms": token.revoked_ms,
    })
}

fn row(token: &Token) -> Vec<String> {
    vec![
        token.token_id.clone(),
        token.name.clone(),
        token.role.clone(),
        date(token.created_ms),
        token.expires_ms.map(date).unwrap_or_else(|| "never".to_owned()),
        token.revoked_ms.map(date).unwrap_or_default(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(id: &str, name: &str, revoked_ms: Option<u64>) -> Token {
        Token { token_id: id.to_owned(), name: name.to_owned(), revoked_ms, ..Token::default() }
    }

    #[test]
    fn a_token_is_meant_by_its_id_or_by_a_name_of_its_own() {
        let tokens =
            [token("1", "web", Some(1)), token("2", "web", None), token("3", "ci", None), token("4", "ci", None)];
        assert_eq!(only(&tokens, "web").as_deref(), Some("2"));
        assert_eq!(only(&tokens, "1").as_deref(), Some("1"), "a revoked one has an id, too");
        assert_eq!(only(&tokens, "ci"), None);
        assert_eq!(only(&tokens, "board"), None);
    }
}
