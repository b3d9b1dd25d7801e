//! Plays a scenario of runs in its phases.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::account::{Account, Gist};
use super::disturbed::{Disturbed, disturb};
use super::project::{Project, Subject};
use super::{Shape, asking};
use crate::History;
use crate::cluster::{Cluster, ClusterError, Layout, Program};
use crate::control::Chance;
use crate::promise::{answers_again, memory_is_bounded, no_defects, of_account, states_are_equal};
use crate::scenario::{Report, SETTLE_LIMIT, Scenario};
use crate::schedule::Schedule;
use crate::traffic::Recording;

/// Environments are made ready and workers started on every node, on a machine with fewer CPUs than nodes.
const FIRST_RESULT: Duration = Duration::from_secs(180);
/// After the last fault. Nodes that were killed have to start their workers again.
const FINISH: Duration = Duration::from_secs(300);
/// What is kept of a red round, beside the logs.
const ACCOUNT: &str = "account.json";

/// How it is played.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// All chance comes from it.
    pub seed: u64,
    /// How long faults are made, about; the run lasts about as long where nothing breaks.
    pub length: Duration,
    /// Nodes of the cluster; else chance has it: 1, 2, 3 or 8.
    pub nodes: Option<usize>,
}

/// What came of it.
#[derive(Debug)]
pub struct Played {
    /// The promises.
    pub report: Report,
    /// What they were judged by.
    pub account: Account,
    /// The cluster.
    pub shape: Shape,
    /// Where logs and account of a red round are.
    pub kept: Option<PathBuf>,
}

/// Plays one round at clusters that are made for it.
///
/// # Errors
/// When there can be no such cluster, or nobody could say what became of the run.
pub fn play(scenario: &Scenario, program: &Program, options: &Options) -> Result<Played, ClusterError> {
    let begun = Instant::now();
    let shape = Shape::draw(&mut Chance::new(options.seed), options.nodes);
    let subject = Subject::new(options.seed, shape.nodes(), options.length.as_secs());
    let undisturbed = undisturbed(program, &subject)?;
    let layout = Layout::plain(program.clone(), shape.voters).with_workers(shape.workers).with(scenario.needs);
    let mut cluster = Cluster::start(layout)?;
    let schedule = Schedule::draw(options.seed, shape.nodes(), options.length, scenario.least, scenario.draw);
    let (account, disturbed) =
        played(&mut cluster, &subject, &schedule, undisturbed).map_err(|error| kept_by(&error, &mut cluster))?;
    let report = judge(scenario, schedule, &mut cluster, (&account, disturbed), begun);
    let kept = (!report.is_green()).then(|| cluster.keep());
    if let Some(kept) = &kept {
        account.keep(&kept.join(ACCOUNT)).map_err(ClusterError::at(kept))?;
    }
    Ok(Played { report, account, shape, kept })
}

/// What the run comes to on one node where nothing breaks.
fn undisturbed(program: &Program, subject: &Subject) -> Result<Gist, ClusterError> {
    let mut cluster = Cluster::start(Layout::plain(program.clone(), 1))?;
    let (_, id) = begin(&cluster, subject)?;
    let (run, _) = asking::wait_until(cluster.target(), &id, FIRST_RESULT + FINISH, asking::is_over)?;
    asking::gist(&run).ok_or_else(|| {
        let told =
            format!("the run is {} alone on one node, before anything broke: {}", asking::status(&run), run.reason);
        kept_by(&ClusterError::Impossible(told), &mut cluster)
    })
}

fn begin(cluster: &Cluster, subject: &Subject) -> Result<(Project, String), ClusterError> {
    asking::until_all_take_part(cluster)?;
    let scratch = cluster.scratch();
    let project = Project::new(&scratch.with_file_name("evaluated"), &scratch, subject)?;
    let id = asking::submit(cluster, &project)?;
    Ok((project, id))
}

fn played(
    cluster: &mut Cluster,
    subject: &Subject,
    schedule: &Schedule,
    undisturbed: Gist,
) -> Result<(Account, Disturbed), ClusterError> {
    let (project, run) = begin(cluster, subject)?;
    asking::wait_until(cluster.target(), &run, FIRST_RESULT, |run| run.done > 0 || asking::is_over(run))?;
    let disturbed = disturb(schedule, cluster, &run);
    let (ended, _) = asking::wait_until(cluster.target(), &run, FINISH, asking::is_over)?;
    let unknown = |error: dspex_api::ApiError| {
        ClusterError::Impossible(format!("nobody says which results the run has: {error}; {}", cluster.last_words()))
    };
    let results = asking::results(cluster.target(), &run).map_err(unknown)?;
    let account = Account {
        run,
        examples: project.examples,
        threads: u32::try_from(subject.threads).unwrap_or(u32::MAX),
        status: asking::status(&ended),
        reason: ended.reason.clone(),
        counted: (ended.done, ended.failed),
        duplicates: ended.duplicates,
        gist: asking::gist(&ended),
        undisturbed,
        results,
        executions: project.executions()?,
        disturbances: disturbed.disturbances.clone(),
    };
    Ok((account, disturbed))
}

fn judge(
    scenario: &Scenario,
    schedule: Schedule,
    cluster: &mut Cluster,
    (account, disturbed): (&Account, Disturbed),
    begun: Instant,
) -> Report {
    let mut findings = of_account(account);
    findings.push(answers_again::check(cluster.target(), SETTLE_LIMIT));
    findings.push(states_are_equal::check(cluster.target()));
    findings.push(memory_is_bounded::check(cluster));
    let recording = Recording::of_nobody();
    findings.push(no_defects::check(&recording.history, Some(&*cluster)));
    let Disturbed { landed, not_landed, wrong, .. } = disturbed;
    let counts = recording.history.counts();
    let (scenario, took) = (scenario.name, begun.elapsed());
    Report { scenario, schedule, landed, not_landed, wrong, findings, counts, recording, took }
}

/// What a cluster leaves of a round that could not be played to its end.
fn kept_by(error: &ClusterError, cluster: &mut Cluster) -> ClusterError {
    ClusterError::Impossible(format!("{error}\nthe logs of the nodes are kept in {}", cluster.keep().display()))
}

impl Recording {
    /// Where nobody wrote sessions.
    fn of_nobody() -> Self {
        let history = History::new([]).expect("nothing that contradicts itself");
        Self { history, ended_ns: 0, healed_ns: 0, unread: Vec::new(), calls: 0, lifetimes: Vec::new() }
    }
}
