//! `dspex program put`, `status` and `delete`.

use clap::Args;
use dspex_api::v1::{
    DeleteProgramRequest, GetProgramRequest, ProgramWritten, PutProgramRequest, SetProgramStatusRequest,
};
use serde_json::json;

use super::Status;
use crate::arguments::identifier;
use crate::assignment::{once, parse};
use crate::confirm::confirm;
use crate::echo::shortened;
use crate::error::CommandError;
use crate::exit;
use crate::follow::new_request_id;
use crate::invocation::Invocation;
use crate::listing;
use crate::reading::{self, JSON_BYTES_MAX};
use crate::repeat::until_known;

#[derive(Debug, Args)]
pub struct Put {
    /// Its name
    #[arg(value_parser = identifier)]
    program: String,
    /// What it is made of: a file with JSON; - reads stdin [default: as before]
    #[arg(value_name = "FILE", value_parser = identifier)]
    file: Option<String>,
    /// A program of this signature, as 'question -> answer'; beside a file with code: what that takes and gives
    #[arg(long, value_name = "SIGNATURE")]
    signature: Option<String>,
    /// One of a session's own, which leaves with it
    #[arg(long, value_name = "ID", value_parser = identifier)]
    session: Option<String>,
    /// Refuse when the program is at another version; 0: when there is one
    #[arg(long, value_name = "VERSION")]
    if_version: Option<u64>,
    /// A variable of the program: JSON; repeat it for more
    #[arg(long, value_name = "NAME=JSON", value_parser = parse)]
    set: Vec<(String, String)>,
    /// A variable that goes; repeat it for more
    #[arg(long, value_name = "NAME", value_parser = identifier)]
    remove: Vec<String>,
    /// Variables that are not set go
    #[arg(long)]
    replace: bool,
    /// What to say of this version
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
}

#[derive(Debug, Args)]
pub struct SetStatus {
    /// Its name
    #[arg(value_parser = identifier)]
    program: String,
    /// How far it is
    #[arg(value_enum)]
    status: Status,
    /// One of a session's own
    #[arg(long, value_name = "ID", value_parser = identifier)]
    session: Option<String>,
    /// Refuse when the program is at another version
    #[arg(long, value_name = "VERSION")]
    if_version: Option<u64>,
}

#[derive(Debug, Args)]
pub struct Delete {
    /// Its name
    #[arg(value_parser = identifier)]
    program: String,
    /// One of a session's own
    #[arg(long, value_name = "ID", value_parser = identifier)]
    session: Option<String>,
    /// Refuse when the program is at another version
    #[arg(long, value_name = "VERSION")]
    if_version: Option<u64>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub async fn put(invocation: &Invocation, options: Put) -> Result<u8, CommandError> {
    let (definition, signature) = made_of(options.file.as_deref(), options.signature)?;
    let request = PutProgramRequest {
        request_id: Some(new_request_id()),
        name: options.program,
        session_id: options.session.unwrap_or_default(),
        expected_version: options.if_version,
        definition,
        signature,
        replace_variables: options.replace,
        removed: options.remove,
        set: once(options.set)?,
        note: options.note,
    };
    let client = invocation.node().await?;
    let put = async || client.put_program(request.clone()).await;
    let look = look(&request.name, &request.session_id);
    let program = until_known(invocation.deadline, &invocation.console, &look, put).await?;
    written(invocation, &program)
}

pub async fn set_status(invocation: &Invocation, options: SetStatus) -> Result<u8, CommandError> {
    let request = SetProgramStatusRequest {
        request_id: Some(new_request_id()),
        name: options.program,
        session_id: options.session.unwrap_or_default(),
        expected_version: options.if_version,
        status: options.status.wire().into(),
    };
    let client = invocation.node().await?;
    let set = async || client.set_program_status(request.clone()).await;
    let look = look(&request.name, &request.session_id);
    let program = until_known(invocation.deadline, &invocation.console, &look, set).await?;
    written(invocation, &program)
}

pub async fn delete(invocation: &Invocation, options: Delete) -> Result<u8, CommandError> {
    let client = invocation.node().await?;
    let (name, session_id) = (options.program, options.session.unwrap_or_default());
    // A program that does not exist is said before anything is asked.
    let get = GetProgramRequest { name: name.clone(), session_id: session_id.clone(), ..GetProgramRequest::default() };
    let version = client.program(get).await?.version;
    confirm(&format!("delete program {name} at version {version} with its history"), &name, options.yes)?;
    let request = DeleteProgramRequest {
        request_id: Some(new_request_id()),
        name: name.clone(),
        session_id: session_id.clone(),
        expected_version: options.if_version,
    };
    let delete = async || client.delete_program(request.clone()).await;
    until_known(invocation.deadline, &invocation.console, &look(&name, &session_id), delete).await?;
    invocation.console.note(&format!("deleted program {name}"));
    Ok(exit::OK)
}

/// A signature alone is a program; beside a file it says what the file's code takes and gives.
fn made_of(file: Option<&str>, signature: Option<String>) -> Result<(Option<String>, Option<String>), CommandError> {
    let definition = match file {
        Some(file) => Some(reading::text(file, "the definition", JSON_BYTES_MAX)?),
        None => None,
    };
    match (definition, signature) {
        (None, Some(signature)) => Ok((Some(json!({"signature": signature}).to_string()), None)),
        given => Ok(given),
    }
}

fn written(invocation: &Invocation, program: &ProgramWritten) -> Result<u8, CommandError> {
    let session = (!program.session_id.is_empty()).then_some(&program.session_id);
    let value = json!({
        "program": program.name,
        "program_id": program.program_id,
        "session": session,
        "version": program.version,
    });
    listing::show(value, invocation.format)?;
    Ok(exit::OK)
}

/// How a person sees whether a write was executed.
fn look(name: &str, session: &str) -> String {
    let session = if session.is_empty() { String::new() } else { format!(" --session {}", shortened(session)) };
    format!("dspex program show {}{session} shows what stands there, once there is a quorum", shortened(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_alone_is_a_program() {
        let text = |text: &str| Some(text.to_owned());
        let alone = made_of(None, text("question -> answer"));
        assert_eq!(alone, Ok((text(r#"{"signature":"question -> answer"}"#), None)));
        assert_eq!(made_of(None, None), Ok((None, None)), "its variables alone");
        let missing = made_of(Some("/nowhere/qa.json"), None).expect_err("no file");
        assert!(missing.exit == exit::USAGE && missing.message.contains("/nowhere/qa.json"), "{missing}");
        let endless = made_of(Some("/dev/zero"), None).expect_err("refused");
        assert!(endless.exit == exit::LIMIT && endless.message.contains("longer than 16 MiB"), "{endless}");
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "{}").expect("written");
        let path = file.path().to_str().expect("a path");
        assert_eq!(made_of(Some(path), text("q -> a")), Ok((text("{}"), text("q -> a"))));
    }

    #[test]
    fn how_to_look_names_the_session() {
        assert!(look("qa", "").starts_with("dspex program show qa shows"));
        assert!(look("qa", "s").starts_with("dspex program show qa --session s shows"));
    }
}
