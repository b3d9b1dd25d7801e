//! `dspex cert`: an authority of the cluster's own, and what it signs.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use dspex_cli::{CertCommand, CertNode, CertVerb, Format};
use dspex_transport::{Authority, CertificateFacts, inspect};
use serde_json::{Value, json};

/// Wrong usage.
const USAGE: i32 = 2;
const FAILED: i32 = 1;

/// Does what the command says. Gives the exit code.
pub(crate) fn run(command: &CertCommand) -> i32 {
    let done = match &command.arguments.verb {
        CertVerb::Init { directory, node, days, renew, cluster } => init(directory, node, *days, *renew, cluster),
        CertVerb::Show { files } => show(files),
    };
    match done.and_then(|items| print(&items, command.format).map_err(|error| (FAILED, error.to_string()))) {
        Ok(()) => 0,
        Err((code, why)) => {
            eprintln!("error: {why}");
            code
        }
    }
}

type Failed = (i32, String);

fn init(directory: &Path, nodes: &[CertNode], days: u32, renew: bool, cluster: &str) -> Result<Vec<Value>, Failed> {
    make_private(directory).map_err(|error| (FAILED, format!("{}: {error}", directory.display())))?;
    let authority = authority(directory, cluster)?;
    // All or none: what is there already is said before anything is made.
    for node in nodes {
        let file = directory.join(&node.name).join("node.pem");
        if file.exists() && !renew {
            return Err((
                USAGE,
                format!(
                    "{} is there already: --renew puts a new one in its place, for the same signing key",
                    file.display()
                ),
            ));
        }
    }
    let mut made = Vec::new();
    for node in nodes {
        let own = directory.join(&node.name);
        make_private(&own).map_err(|error| (FAILED, format!("{}: {error}", own.display())))?;
        let signing_key = fs::read_to_string(own.join("signing.key")).ok();
        let signed = authority
            .sign(&node.name, &with_own_machine(&node.hosts), days, signing_key.as_deref())
            .map_err(|error| (USAGE, format!("{}: {error}", node.name)))?;
        let is_new = !own.join("node.pem").exists();
        let written = if is_new && signing_key.is_none() { signed.write(&own) } else { signed.renew(&own) };
        written.map_err(|error| (FAILED, error.to_string()))?;
        made.push(own.join("node.pem"));
    }
    made.insert(0, directory.join("ca.pem"));
    show(&made)
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
fn authority(directory: &Path, cluster: &str) -> Result<Authority, Failed> {
    let (certificate, key) = (directory.join("ca.pem"), directory.join("ca.key"));
    let read = |file: &Path| match fs::read_to_string(file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err((FAILED, format!("{}: {error}", file.display()))),
    };
    match (read(&certificate)?, read(&key)?) {
        (Some(text), Some(key)) => {
            Authority::open(&text, &key).map_err(|error| (FAILED, format!("{}: {error}", certificate.display())))
        }
        (None, None) => {
            let (authority, secret) = Authority::create(cluster).map_err(|error| (FAILED, error.to_string()))?;
            write_new(&key, &secret, 0o600)?;
            write_new(&certificate, authority.certificate(), 0o644)?;
            Ok(authority)
        }
        (present, _) => {
            let missing = if present.is_some() { &key } else { &certificate };
            Err((
                USAGE,
                format!(
                    "{} is missing beside the other half of the authority: bring it back, or use another directory",
                    missing.display()
                ),
            ))
        }
    }
}

fn make_private(directory: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

fn write_new(file: &Path, text: &str, mode: u32) -> Result<(), Failed> {
    let mut options = fs::OpenOptions::new();
    let opened = options.write(true).create_new(true).mode(mode).open(file);
    let written = opened.and_then(|mut open| open.write_all(text.as_bytes()).and_then(|()| open.sync_all()));
    written.map_err(|error| (FAILED, format!("{}: {error}", file.display())))
}

fn show(files: &[PathBuf]) -> Result<Vec<Value>, Failed> {
    let shown = files.iter().map(|file| {
        let facts = inspect(file).map_err(|error| (USAGE, error.to_string()))?;
        Ok(object(file, &facts))
    });
    shown.collect()
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

fn print(items: &[Value], format: Format) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match format {
        Format::Json => writeln!(out, "{}", json!({ "items": items, "counts": {}, "truncated": false })),
        Format::Jsonl => items.iter().try_for_each(|item| writeln!(out, "{item}")),
        Format::Table | Format::Csv => items.iter().try_for_each(|item| {
            let hosts = item["hosts"].as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>();
            let ends = item["not_after_unix_ms"].as_i64().unwrap_or_default() / 1000;
            let ends = chrono::DateTime::from_timestamp(ends, 0).unwrap_or_default().format("%Y-%m-%d");
            let (file, subject) =
                (item["file"].as_str().unwrap_or_default(), item["subject"].as_str().unwrap_or_default());
            if format == Format::Csv {
                return writeln!(out, "{file},{subject},{},{ends}", hosts.join(" "));
            }
            writeln!(out, "{file}  {subject}  {}  until {ends}", hosts.join(", "))
        }),
    }
}
