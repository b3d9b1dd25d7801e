//! Commands of the system, each with a limit of time.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::FaultError;

/// No command here has more to do than a few system calls.
const LIMIT: Duration = Duration::from_secs(30);

/// Where commands for administrators lie, also when a service or `sudo` left them out of `PATH`.
const ADMINISTRATION: [&str; 2] = ["/usr/sbin", "/sbin"];

/// What it printed.
pub(super) fn run(words: &[impl AsRef<OsStr>]) -> Result<String, FaultError> {
    run_with(words, "")
}

/// What it printed, given `input`.
pub(super) fn run_with(words: &[impl AsRef<OsStr>], input: &str) -> Result<String, FaultError> {
    let line = words.iter().map(|word| word.as_ref().to_string_lossy()).collect::<Vec<_>>().join(" ");
    let failed = |said: String| FaultError::Command { command: line.clone(), said };
    let mut child = command(words).spawn().map_err(|error| failed(error.to_string()))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that ended early says why on stderr.
        let _ = stdin.write_all(input.as_bytes());
    }
    let outputs = [collect(child.stdout.take()), collect(child.stderr.take())];
    let ended = wait(&mut child, LIMIT);
    let [stdout, stderr] = outputs.map(|output| output.join().unwrap_or_default());
    match ended.map_err(|error| failed(error.to_string()))? {
        Some(status) if status.success() => Ok(stdout),
        Some(status) if stderr.trim().is_empty() => Err(failed(status.to_string())),
        Some(_) => Err(failed(stderr.trim().replace('\n', "; "))),
        None => Err(FaultError::TooLong { doing: line, limit: LIMIT }),
    }
}

/// Whether these commands are there; else why not, with the Debian packages that bring them.
pub(super) fn are_installed(commands: &[(&str, &str)]) -> Result<(), String> {
    let path = search_path();
    let is_missing = |command: &str| !std::env::split_paths(&path).any(|directory| directory.join(command).is_file());
    match commands.iter().find(|(command, _)| is_missing(command)) {
        Some((command, package)) => Err(format!("{command} is not installed (Debian package {package})")),
        None => Ok(()),
    }
}

/// Whether this process may change the system.
pub(super) fn is_root() -> Result<(), String> {
    if rustix::process::geteuid().is_root() { Ok(()) } else { Err("it takes root".to_owned()) }
}

fn command(words: &[impl AsRef<OsStr>]) -> Command {
    let program = words.first().map_or(OsStr::new(""), |word| word.as_ref());
    let mut command = Command::new(program);
    command.args(words.iter().skip(1)).env("PATH", search_path()).env("LC_ALL", "C");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn search_path() -> std::ffi::OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(ADMINISTRATION.iter().map(|name| Path::new(name).to_owned()));
    std::env::join_paths(directories).unwrap_or(path)
}

fn collect(output: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut output) = output {
            // What was read before an error is all there is to say.
            let _ = output.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Its status, or none where it had to be killed.
pub(crate) fn wait(child: &mut Child, limit: Duration) -> std::io::Result<Option<std::process::ExitStatus>> {
    let (begun, mut pause) = (Instant::now(), Duration::from_micros(200));
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if begun.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_gives_what_it_printed_or_what_it_complained_of() {
        assert_eq!(run_with(&["cat"], "said").expect("cat"), "said");
        let error = run(&["sh", "-c", "echo no >&2; echo way >&2; exit 3"]).expect_err("it fails");
        assert_eq!(error.to_string(), "sh -c echo no >&2; echo way >&2; exit 3: no; way");
        let silent = run(&["false"]).expect_err("it fails");
        assert_eq!(silent.to_string(), "false: exit status: 1");
        assert!(run(&["dspex-no-such-command"]).is_err());
    }

    #[test]
    fn a_missing_command_is_named_with_its_package() {
        assert_eq!(are_installed(&[("sh", "dash")]), Ok(()));
        let missing = are_installed(&[("sh", "dash"), ("dspex-no-such-command", "dspex-tools")]);
        assert_eq!(missing, Err("dspex-no-such-command is not installed (Debian package dspex-tools)".to_owned()));
    }
}
