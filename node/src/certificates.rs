//! `dspex cert`: an authority of the cluster's own, and what it signs.

use std::fs;
use std::path::{Path, PathBuf};

use dspex_cli::{CertCommand, CertNode, CertVerb, CommandError, Console, Listing, date, exit};
use dspex_transport::{Authority, CertificateError, CertificateFacts, inspect};
use serde_json::{Map, Value, json};

use crate::private_files;

/// Does what the command says. Gives the exit code.
pub(crate) fn run(command: &CertCommand) -> i32 {
    let done = match &command.arguments.verb {
        CertVerb::Init { directory, node, days, renew, cluster } => init(directory, node, *days, *renew, cluster),
        CertVerb::Show { files } => Ok(files.clone()),
    };
    let console = Console::new(false, 0);
    match done.and_then(|files| listing(&files)).and_then(|listing| listing.print(command.format, &console)) {
        Ok(()) => i32::from(exit::OK),
        Err(error) => {
            console.error(&error);
            i32::from(error.exit)
        }
    }
}

/// Makes what is missing; gives the certificates' files.
fn init(
    directory: &Path,
    nodes: &[CertNode],
    days: u32,
    renew: bool,
    cluster: &str,
) -> Result<Vec<PathBuf>, CommandError> {
    make_directory(directory)?;
    let authority = authority(directory, cluster)?;
    // All or none: what is there already is said before anything is made.
    for node in nodes {
        let file = directory.join(&node.name).join("node.pem");
        if file.exists() && !renew {
            return Err(CommandError::usage(format!("{} is there already", file.display()))
                .hint("--renew puts a new one in its place, for the same signing key"));
        }
    }
    let mut made = vec![directory.join("ca.pem")];
    for node in nodes {
        let own = directory.join(&node.name);
        make_directory(&own)?;
        let signing_key = fs::read_to_string(own.join("signing.key")).ok();
        let signed = authority
            .sign(&node.name, &with_own_machine(&node.hosts), days, signing_key.as_deref())
            .map_err(|error| CommandError::usage(format!("{}: {error}", node.name)))?;
        let is_new = !own.join("node.pem").exists();
        let written = if is_new && signing_key.is_none() { signed.write(&own) } else { signed.renew(&own) };
        written.map_err(|error| failed(&error))?;
        made.push(own.join("node.pem"));
    }
    Ok(made)
}

/// Commands and probes on the node's own machine use these names.
fn with_own_machine(hosts: &[String]) -> Vec<String> {
    let mut hosts = hosts.to_vec();
    for own in ["localhost", "127.0.0.1"] {
        if !hosts.iter().any(|host| host == own) {
            hosts.push(own.to_owned());
        }
    }
    hosts
}

/// The authority of a directory: the one that is there, else a new one.
fn authority(directory: &Path, cluster: &str) -> Result<Authority, CommandError> {
    if let Some(authority) = Authority::read(directory).map_err(|error| failed(&error))? {
        return Ok(authority);
    }
    let authority = Authority::create(cluster).map_err(|error| failed(&error))?;
    authority.write(directory).map_err(|error| failed(&error))?;
    Ok(authority)
}

fn make_directory(directory: &Path) -> Result<(), CommandError> {
    let failed = |error| CommandError::new(exit::FAILED, format!("{}: {error}", directory.display()));
    private_files::make_directory(directory).map_err(failed)
}

/// What a file holds is the caller's choice; that it cannot be read or written is the machine's.
fn failed(error: &CertificateError) -> CommandError {
    let code = if matches!(error, CertificateError::Content { .. }) { exit::USAGE } else { exit::FAILED };
    CommandError::new(code, error.to_string())
}

fn listing(files: &[PathBuf]) -> Result<Listing, CommandError> {
    let facts = |file: &PathBuf| inspect(file).map_err(|error| CommandError::usage(error.to_string()));
    let shown: Vec<CertificateFacts> = files.iter().map(facts).collect::<Result<_, _>>()?;
    Ok(Listing {
        items: files.iter().zip(&shown).map(|(file, facts)| object(file, facts)).collect(),
        counts: Map::from_iter([("certificates".to_owned(), Value::from(files.len()))]),
        header: vec!["FILE", "SUBJECT", "ISSUER", "HOSTS", "UNTIL"],
        rows: files.iter().zip(&shown).map(|(file, facts)| row(file, facts)).collect(),
        ..Listing::default()
    })
}

fn object(file: &Path, facts: &CertificateFacts) -> Value {
    let signing_key = facts.signing_key.map(|key| key.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    json!({
        "file": file.display().to_string(),
        "subject": facts.subject,
        "issuer": facts.issuer,
        "authority": facts.is_authority,
        "hosts": facts.hosts,
        "not_before_unix_ms": facts.not_before * 1000,
        "not_after_unix_ms": facts.not_after * 1000,
        "signing_key": signing_key,
    })
}

fn row(file: &Path, facts: &CertificateFacts) -> Vec<String> {
    vec![
        file.display().to_string(),
        facts.subject.clone(),
        facts.issuer.clone(),
        facts.hosts.join(", "),
        date(u64::try_from(facts.not_after).unwrap_or_default().saturating_mul(1000)),
    ]
}
