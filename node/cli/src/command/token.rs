//! `dspex token`: who may do what.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use dspex_api::v1::{CreateTokenRequest, RevokeTokenRequest, Token};
use serde_json::{Map, Value, json};

use crate::arguments::seconds;
use crate::confirm::confirm;
use crate::dates::date;
use crate::error::CommandError;
use crate::exit;
use crate::follow::new_request_id;
use crate::invocation::Invocation;
use crate::listing::{self, Listing};
use crate::output::{self, Format};

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
    List,
    /// Make a token and print its secret
    Create {
        /// Who it is for
        name: String,
        /// What it allows
        #[arg(long, value_enum)]
        role: Role,
        /// It ends after so many seconds [default: never]
        #[arg(long, value_name = "SECONDS", value_parser = seconds)]
        ttl: Option<Duration>,
    },
    /// Let a token open nothing any more
    Revoke {
        /// Its id, or its name
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
    let client = invocation.node().await?;
    match options.verb {
        None | Some(Verb::List) => list(invocation, &client.tokens().await?),
        Some(Verb::Create { name, role, ttl }) => {
            let role = role.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
            let ttl_ms = ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1));
            let request = CreateTokenRequest { request_id: Some(new_request_id()), name, role, ttl_ms };
            let created = client.create_token(request).await?;
            let token = created.token.unwrap_or_default();
            invocation.console.note(&format!("token {} for {} ({})", token.token_id, token.name, token.role));
            let mut value = object(&token);
            if let Value::Object(object) = &mut value {
                object.insert("secret".to_owned(), Value::from(created.secret.clone()));
            }
            match invocation.format {
                // A file with it is what --token-file takes.
                Format::Table => output::text(&format!("{}\n", created.secret))?,
                Format::Json | Format::Jsonl => output::json(&value)?,
                Format::Csv => Listing::of_objects(vec![value]).print(Format::Csv)?,
            }
            Ok(exit::OK)
        }
        Some(Verb::Revoke { token, yes }) => {
            confirm(&format!("revoke the token {token}"), &token, yes)?;
            let request = RevokeTokenRequest { request_id: Some(new_request_id()), token };
            let revoked = client.revoke_token(request).await?.token.unwrap_or_default();
            let value = object(&revoked);
            match invocation.format {
                Format::Table => output::text(&listing::pairs(&crate::dates::with_dates(value)))?,
                Format::Json | Format::Jsonl => output::json(&value)?,
                Format::Csv => Listing::of_objects(vec![value]).print(Format::Csv)?,
            }
            Ok(exit::OK)
        }
    }
}

fn list(invocation: &Invocation, tokens: &[Token]) -> Result<u8, CommandError> {
    let mut counts = Map::new();
    for token in tokens {
        let count = counts.get(&token.role).and_then(Value::as_u64).unwrap_or(0);
        counts.insert(token.role.clone(), Value::from(count + 1));
    }
    let listing = Listing {
        items: tokens.iter().map(object).collect(),
        counts,
        truncated: false,
        header: vec!["TOKEN", "NAME", "ROLE", "CREATED", "ENDS", "REVOKED"],
        rows: tokens.iter().map(row).collect(),
    };
    listing.print(invocation.format)?;
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
