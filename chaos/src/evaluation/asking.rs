//! Submits a run as a person would, and asks voters about it: whichever answers.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use dspex_api::v1::{Run, RunResultsRequest, RunStatus};
use dspex_api::{ApiError, Client, reason};
use tokio::time::timeout;

use super::account::Gist;
use super::project::Project;
use crate::cluster::{Cluster, ClusterError, PATIENCE, Program};
use crate::fault::wait_for_child;
use crate::target::Target;

/// Reading the program's imports, packing it, and one worker that loads it as a check, on a busy machine.
const SUBMIT: Duration = Duration::from_secs(180);
/// Between two batches of results of a node that lives.
const BATCH: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_millis(100);
/// What a line for orders is called in a node's log.
const LINE: &str = "a line for orders to a peer";

/// Waits until every node is a member and has lines to those that it is to have lines to: only then does a run begin on all of them.
pub(super) fn until_all_take_part(cluster: &Cluster) -> Result<(), ClusterError> {
    let (voters, all) = (cluster.layout().nodes, cluster.layout().all());
    let begun = Instant::now();
    loop {
        let status = cluster.target().ask(0, async |client| client.cluster_status().await);
        let members = status.map(|status| status.members.iter().filter(|member| member.reachable).count());
        let lines = |(position, node): (usize, &crate::cluster::Node)| {
            let peers = if position < voters { all - 1 } else { voters };
            node.log().matches(LINE).count() >= peers
        };
        let joined = cluster.nodes().iter().enumerate().filter(|node| lines(*node)).count();
        if members.as_ref().is_ok_and(|members| *members >= all) && joined == all {
            return Ok(());
        }
        if begun.elapsed() > PATIENCE {
            let seen = format!("members that answer: {members:?}, nodes with all their lines: {joined} of {all}");
            return Err(too_long("all nodes take part", PATIENCE, seen + &cluster.last_words()));
        }
        std::thread::sleep(TICK);
    }
}

/// Submits the run at the first node, which owns it then; its id.
pub(super) fn submit(cluster: &Cluster, project: &Project) -> Result<String, ClusterError> {
    let door = &cluster.target().doors()[0];
    let Program { path, interpreter } = &cluster.layout().program;
    let (said, complained) = (project.callers().join("stdout"), project.callers().join("stderr"));
    let file = |path: &std::path::Path| File::create(path).map_err(ClusterError::at(path));
    let mut command = Command::new(path);
    command.args(project.eval(2 * cluster.layout().all())).current_dir(project.directory()).env_clear();
    for name in ["PATH", "HOME", "USER", "LANG", "TMPDIR"] {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    let dspex_api::Address::Tcp(address) = &door.address else {
        return Err(ClusterError::Impossible(format!("{} does not listen on TCP", door.name)));
    };
    command.env("DSPEX_ADDRESS", address).env("DSPEX_TOKEN_FILE", &door.token_file);
    command.envs(door.ca.as_ref().map(|ca| ("DSPEX_CA", ca)));
    command.env("DSPEX_HOME", project.callers().join("home")).env("DSPEX_PYTHON", interpreter);
    command.env("DSPY_CACHEDIR", project.callers().join("cache"));
    command.stdin(Stdio::null()).stdout(file(&said)?).stderr(file(&complained)?);
    let mut child = command.spawn().map_err(ClusterError::system(path.display().to_string()))?;
    let ended = wait_for_child(&mut child, SUBMIT).map_err(ClusterError::system(path.display().to_string()))?;
    let read = |path: &std::path::Path| fs::read_to_string(path).map_err(ClusterError::at(path));
    let (said, complained) = (read(&said)?, read(&complained)?);
    let id = serde_json::from_str::<serde_json::Value>(&said)
        .ok()
        .and_then(|object| object["run_id"].as_str().map(str::to_owned));
    match (ended, id) {
        (Some(status), Some(id)) if status.success() => Ok(id),
        (Some(status), _) => Err(ClusterError::Command {
            command: "dspex eval --detach".to_owned(),
            said: format!("{status}: {said}{complained}{}", cluster.last_words()),
        }),
        (None, _) => Err(too_long("a run is submitted", SUBMIT, said + &complained + &cluster.last_words())),
    }
}

/// The run as some voter has it.
pub(super) fn run(target: &Target, id: &str) -> Result<Run, ApiError> {
    any(target, async |client: Client| client.run(id).await)
}

/// The examples that have a result, as they are given.
pub(super) fn results(target: &Target, id: &str) -> Result<Vec<u32>, ApiError> {
    any(target, async |client: Client| {
        let request = RunResultsRequest {
            run_id: id.to_owned(),
            failed_only: false,
            full: false,
            follow: false,
            returned: false,
        };
        let mut stream = client.results(request).await?;
        let mut indices = Vec::new();
        let late = |_| ApiError::unavailable(reason::NODE_TIMED_OUT, "the results of the run stand still");
        while let Some(batch) = timeout(BATCH, stream.message()).await.map_err(late)?.map_err(ApiError::from)? {
            indices.extend(batch.results.iter().map(|result| result.index));
        }
        Ok(indices)
    })
}

/// The same, each once.
pub(super) fn recorded(target: &Target, id: &str) -> Result<BTreeSet<u32>, ApiError> {
    results(target, id).map(BTreeSet::from_iter)
}

/// What the first voter says that can be asked; what the very first says, where none can.
fn any<T>(target: &Target, call: impl AsyncFn(Client) -> Result<T, ApiError>) -> Result<T, ApiError> {
    let first = target.ask(0, &call);
    if first.is_ok() {
        return first;
    }
    (1..target.doors().len()).find_map(|position| target.ask(position, &call).ok()).map_or(first, Ok)
}

/// Waits until this holds of the run, by what any voter says; the run as it was then, or when nobody waited any longer.
pub(super) fn wait_until(
    target: &Target,
    id: &str,
    limit: Duration,
    holds: impl Fn(&Run) -> bool,
) -> Result<(Run, bool), ClusterError> {
    let begun = Instant::now();
    loop {
        let asked = run(target, id);
        let is_over = begun.elapsed() > limit;
        match asked {
            Ok(run) if holds(&run) => return Ok((run, true)),
            Ok(run) if is_over => return Ok((run, false)),
            Err(error) if is_over => return Err(too_long("a voter tells of the run", limit, error.to_string())),
            Ok(_) | Err(_) => std::thread::sleep(TICK),
        }
    }
}

/// Whether nothing more comes of it by itself.
pub(super) fn is_over(run: &Run) -> bool {
    !matches!(run.status(), RunStatus::Running | RunStatus::Unspecified)
}

/// The word for people.
pub(super) fn status(run: &Run) -> String {
    run.status().as_str_name().trim_start_matches("RUN_STATUS_").to_lowercase()
}

/// What a run that has finished came to.
pub(super) fn gist(run: &Run) -> Option<Gist> {
    let digest = run.digest.clone().filter(|_| run.status() == RunStatus::Finished)?;
    Some(Gist { score: run.score, digest, failed: run.failed })
}

fn too_long(waiting: &str, limit: Duration, seen: String) -> ClusterError {
    ClusterError::TooLong { waiting: waiting.to_owned(), limit, seen }
}
