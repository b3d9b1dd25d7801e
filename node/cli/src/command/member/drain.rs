//! `dspex member drain`: a member takes nothing new, and what it has of runs finishes or moves.

use std::time::Duration;

use clap::Args;
use dspex_api::v1::{DrainMemberRequest, Member};
use dspex_api::{ApiError, Client};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::super::cluster;
use crate::arguments::{identifier, seconds};
use crate::console::Console;
use crate::error::CommandError;
use crate::exit;
use crate::follow::new_request_id;
use crate::invocation::Invocation;
use crate::listing;
use crate::repeat::{last_moment, until_known};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// So many looks in a row find nothing: what a node says of its workers is a second old, and an order may have been on its way.
const QUIET_LOOKS: u32 = 3;
/// An owner keeps a run for a minute at the most, until what is under way has ended (actors, `evaluation/draining.rs`): then the run is
/// handed over, and is seen to be.
const WAIT_SECONDS: &str = "70";
/// Between two words on what is left.
const TELL_EVERY: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  dspex member drain node-2                    wait until it has nothing of runs left and can be stopped, 70 s at the most\n  dspex member drain node-2 --wait 3600        long examples are under way\n  dspex member drain node-2 --no-wait\n  dspex member drain node-2 --undo             it takes work again\n\nExit code 7: it still has something after that time. It goes on draining, and the same command waits on.\nOf a member that does not answer nothing is waited for but that its runs have other owners, and a warning says so."
)]
pub struct Options {
    /// Its id or name
    #[arg(value_name = "MEMBER", value_parser = identifier)]
    member: String,
    /// It takes work again
    #[arg(long, conflicts_with_all = ["wait", "no_wait"])]
    undo: bool,
    /// Wait so long until it has no workers of runs, owns no running run and does not lead
    #[arg(long, value_name = "SECONDS", value_parser = patience, default_value = WAIT_SECONDS, allow_negative_numbers = true)]
    wait: Duration,
    /// Do not wait
    #[arg(long, conflicts_with = "wait")]
    no_wait: bool,
}

/// How long it is waited.
fn patience(text: &str) -> Result<Duration, String> {
    seconds(text).map_err(|why| format!("{why}; --no-wait does not wait"))
}

/// What has become of the member, or is to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Course {
    /// It takes work.
    Undone,
    /// Nobody has waited.
    Begun,
    /// It has nothing left.
    Drained,
    /// It is no member any more.
    Left,
}

/// Drains the member, or lets it take work again.
pub async fn execute(invocation: &Invocation, client: &Client, options: Options) -> Result<u8, CommandError> {
    let Options { member, undo, wait, no_wait } = options;
    let request = DrainMemberRequest { request_id: Some(new_request_id()), member, undo };
    let look = "dspex member list shows whether it drains; the same command may be repeated";
    let write = async || client.drain_member(request.clone()).await;
    let written = until_known(invocation.deadline, &invocation.console, look, write).await?;
    let (member, course) = match (undo, no_wait) {
        (true, _) => (written, Course::Undone),
        (false, true) => (written, Course::Begun),
        (false, false) => {
            let end = end(Instant::now(), wait, invocation.deadline);
            let look = async || Ok(client.cluster_status().await?.members);
            settled(&invocation.console, end, written, look).await?
        }
    };
    listing::show(cluster::object(&member), invocation.format)?;
    match told(&member, course) {
        Told::Note(text) => invocation.console.note(&text),
        Told::Warning(text) => invocation.console.warning(&text),
    }
    Ok(exit::OK)
}

/// What is said at the end.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Note(String),
    Warning(String),
}

fn told(member: &Member, course: Course) -> Told {
    let name = cluster::called(member);
    let undo = format!("dspex member drain {name} --undo");
    match course {
        Course::Undone => Told::Note(format!("{name} does not drain: it takes work")),
        Course::Left => Told::Note(format!("{name} has left: it is no member any more")),
        // Whether its process lives nobody can say: what the log does for its runs is the same.
        Course::Begun | Course::Drained if !member.reachable => Told::Warning(format!(
            "{name} does not answer: whether it still executes something is not known, and nothing of it was waited for. What it had \
             of runs goes on at other nodes. If it is only cut off it goes on draining ({undo}); when it starts it takes work again"
        )),
        Course::Begun => {
            Told::Note(format!("{name} drains; to wait until it can be stopped: dspex member drain {name}"))
        }
        // As soon as it has been counted as gone, its name may begin anew.
        Course::Drained if member.role == "worker" => Told::Note(format!(
            "{name} has drained: it has nothing of runs left and can be stopped now. It takes work again after {undo}, or when it starts \
             after it has been shown as gone"
        )),
        Course::Drained => Told::Note(format!(
            "{name} has drained: it has nothing of runs left and can be stopped now. It takes work again when it starts, or after \
             {undo}"
        )),
    }
}

/// Until when it is looked; what is left then is said before the command's own end.
fn end(begun: Instant, wait: Duration, deadline: Option<Instant>) -> Instant {
    let waited = begun + wait;
    deadline.map_or(waited, |deadline| waited.min(last_moment(deadline)))
}

/// The member when it has nothing left, or is none any more; `look` gives all that there are.
async fn settled(
    console: &Console,
    end: Instant,
    mut member: Member,
    look: impl AsyncFn() -> Result<Vec<Member>, ApiError>,
) -> Result<(Member, Course), CommandError> {
    let begun = Instant::now();
    let (mut quiet, mut told) = (0, None::<Instant>);
    loop {
        let left = left(&member);
        quiet = if left.is_none() { quiet + 1 } else { 0 };
        if quiet == QUIET_LOOKS {
            return Ok((member, Course::Drained));
        }
        if let Some(left) = left.filter(|_| told.is_none_or(|told| told.elapsed() >= TELL_EVERY)) {
            told = Some(Instant::now());
            let how = if member.reachable { "drains" } else { "does not answer" };
            console.note(&format!("{} {how}: {left}", cluster::called(&member)));
        }
        sleep_until(end.min(Instant::now() + LOOK_EVERY)).await;
        if Instant::now() >= end {
            return Err(still_draining(&member, begun.elapsed()));
        }
        let Ok(members) = timeout_at(end, look()).await else {
            return Err(still_draining(&member, begun.elapsed()));
        };
        match members?.into_iter().find(|known| known.node_id == member.node_id) {
            Some(known) if known.draining => member = known,
            // Without a vote it leaves when it is stopped.
            None => return Ok((member, Course::Left)),
            Some(known) => return Err(undone(&known)),
        }
    }
}

/// What is to finish or to move yet; `None`: nothing.
fn left(member: &Member) -> Option<String> {
    let counted = |count: u32, one: &str, more: &str| match count {
        0 => None,
        1 => Some(format!("1 {one}")),
        _ => Some(format!("{count} {more}")),
    };
    let workers = match member.workers {
        Some(count) => counted(count, "worker of a run", "workers of runs"),
        // Of one that is away nothing is heard, and it has nothing.
        None => member.reachable.then(|| "workers that it has not told of yet".to_owned()),
    };
    let runs = counted(member.runs, "running run that it owns", "running runs that it owns");
    let leads = member.leader.then(|| "the leadership".to_owned());
    let all: Vec<String> = [workers, runs, leads].into_iter().flatten().collect();
    (!all.is_empty()).then(|| format!("it still has {}", all.join(", ")))
}

fn still_draining(member: &Member, waited: Duration) -> CommandError {
    let name = cluster::called(member);
    let left = left(member).unwrap_or_else(|| "it has just had its last worker".to_owned());
    let message = format!("after {:.0} s {name} has not drained yet: {left}", waited.as_secs_f64());
    CommandError::new(exit::LIMIT, message).hint(format!(
        "it goes on draining, and the same command waits on (--wait SECONDS); dspex member list shows what it has, \
         dspex member drain {name} --undo lets it take work again"
    ))
}

/// Somebody has undone it, or the node has started anew.
fn undone(member: &Member) -> CommandError {
    let name = cluster::called(member);
    let message = format!("{name} takes work again: somebody has undone the drain, or it has started anew");
    CommandError::new(exit::FAILED, message).hint("drain it once more if that was not meant")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn parsed(arguments: &[&str]) -> Result<Options, String> {
        let line = Line::try_parse_from([&["drain"], arguments].concat());
        line.map(|line| line.options).map_err(|error| error.to_string())
    }

    fn member(workers: Option<u32>, runs: u32) -> Member {
        Member { name: "node-2".to_owned(), reachable: true, draining: true, workers, runs, ..Member::default() }
    }

    #[test]
    fn it_waits_for_longer_than_an_owner_keeps_a_run_unless_told_otherwise() {
        let options = parsed(&["node-2"]).expect("complete");
        assert_eq!((options.wait, options.no_wait, options.undo), (Duration::from_secs(70), false, false));
        assert_eq!(parsed(&["node-2", "--wait", "1.5"]).expect("seconds").wait, Duration::from_millis(1500));
        assert!(parsed(&["node-2", "--no-wait"]).expect("good").no_wait);
        assert!(parsed(&["node-2", "--undo"]).expect("good").undo);
        for wrong in [
            &[][..],
            &[""],
            &["node-2", "--wait", "0"],
            &["node-2", "--wait", "soon"],
            &["node-2", "--wait", "-1"],
            &["node-2", "--wait", "5", "--no-wait"],
            &["node-2", "--undo", "--wait", "5"],
            &["node-2", "--undo", "--no-wait"],
        ] {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_time_that_is_none_is_refused_with_what_may_stand_there() {
        for wrong in ["-1", "0", "soon"] {
            let told = parsed(&["node-2", "--wait", wrong]).expect_err(wrong);
            assert!(told.contains("more than 0") && told.contains("--no-wait does not wait"), "{told}");
            assert!(!told.contains("tip:"), "{told}");
        }
    }

    #[test]
    fn who_has_drained_may_be_stopped_and_of_one_that_does_not_answer_nobody_says_so() {
        let (drained, away) = (member(Some(0), 0), Member { reachable: false, ..member(None, 0) });
        let note = |member: &Member, course| match told(member, course) {
            Told::Note(text) => text,
            Told::Warning(text) => panic!("{text}"),
        };
        assert!(note(&drained, Course::Drained).contains("can be stopped now"));
        let begun = note(&drained, Course::Begun);
        assert!(begun.ends_with("to wait until it can be stopped: dspex member drain node-2"), "{begun}");
        for course in [Course::Drained, Course::Begun] {
            let Told::Warning(text) = told(&away, course) else { panic!("{course:?}") };
            assert!(text.contains("does not answer") && !text.contains("can be stopped"), "{text}");
        }
        assert_eq!(note(&away, Course::Undone), "node-2 does not drain: it takes work");
        assert!(note(&drained, Course::Left).contains("no member any more"));
    }

    #[test]
    fn what_is_left_is_said_until_there_is_nothing() {
        assert_eq!(left(&member(Some(0), 0)), None);
        let said = |member: &Member| left(member).expect("something is left");
        assert_eq!(said(&member(Some(1), 2)), "it still has 1 worker of a run, 2 running runs that it owns");
        assert_eq!(said(&member(Some(3), 0)), "it still has 3 workers of runs");
        assert_eq!(said(&Member { leader: true, ..member(Some(0), 0) }), "it still has the leadership");
        assert_eq!(said(&member(None, 0)), "it still has workers that it has not told of yet");
        let away = Member { reachable: false, ..member(None, 0) };
        assert_eq!(left(&away), None, "it is gone, and with it what it had");
        assert!(left(&Member { runs: 1, ..away }).is_some(), "its run has no other owner yet");
    }

    #[tokio::test]
    async fn what_is_left_is_said_before_the_command_ends_whether_the_cluster_answers_or_not() {
        let console = Console::new(true, 0);
        for answers in [true, false] {
            let deadline = Instant::now() + Duration::from_millis(1500);
            let look = async || match answers {
                true => Ok(vec![member(Some(2), 1)]),
                false => std::future::pending().await,
            };
            let end = end(Instant::now(), Duration::from_secs(60), Some(deadline));
            let ended = timeout_at(deadline, settled(&console, end, member(Some(2), 1), look)).await;
            let error = ended.expect("in time").expect_err("it has workers");
            assert_eq!(error.exit, exit::LIMIT);
            assert!(error.message.contains("2 workers of runs") && error.hint.is_some(), "{}", error.message);
        }
    }

    #[tokio::test]
    async fn it_has_drained_when_nothing_was_found_three_times_in_a_row() {
        let looks = std::cell::Cell::new(0);
        let look = async || {
            looks.set(looks.get() + 1);
            Ok(vec![member(Some(0), 0)])
        };
        let end = Instant::now() + Duration::from_secs(60);
        let drained = settled(&Console::new(true, 0), end, member(Some(1), 0), look).await;
        let drained = drained.map(|(member, course)| (member.workers, course));
        assert_eq!((drained, looks.get()), (Ok((Some(0), Course::Drained)), 3));
    }

    #[tokio::test]
    async fn one_that_leaves_while_it_drains_is_not_waited_for() {
        let end = Instant::now() + Duration::from_secs(60);
        let ended = settled(&Console::new(true, 0), end, member(Some(1), 0), async || Ok(Vec::new())).await;
        assert_eq!(ended.map(|(_, course)| course), Ok(Course::Left));
    }

    #[test]
    fn one_that_takes_longer_is_said_to_go_on_and_is_no_defect() {
        let error = still_draining(&member(Some(1), 0), Duration::from_secs(60));
        assert_eq!(error.exit, exit::LIMIT);
        assert_eq!(error.message, "after 60 s node-2 has not drained yet: it still has 1 worker of a run");
        let hint = error.hint.unwrap_or_default();
        assert!(hint.contains("goes on draining") && hint.contains("dspex member drain node-2 --undo"), "{hint}");
        let undone = undone(&member(Some(0), 0));
        assert_eq!((undone.exit, undone.hint.is_some()), (exit::FAILED, true));
    }
}
