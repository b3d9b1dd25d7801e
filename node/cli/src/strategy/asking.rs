//! Finds out what the choice depends on: whether the cluster answers, and what runs there and here have shown.

use std::time::Duration;

use dspex_api::v1::{ListRunsRequest, Run, RunStatus};
use dspex_api::{Address, ApiError, Client, TimeLimits, key, reason};

use super::history::{Measured, least_startup, newest};
use super::{Choice, Elsewhere, Facts, Named, Reach, Reason, Strategy, Subject, Wish, choose, is_open};
use crate::embedded::{self, Home};
use crate::error::CommandError;
use crate::invocation::Invocation;

/// How long the cluster may take to say which runs it has. A node that finds no leader says so itself within ten seconds.
const ANSWER_LIMIT: Duration = Duration::from_secs(12);
/// The embedded node is on this machine: one that is too busy to answer is not the faster one.
const ANSWER_LIMIT_HERE: Duration = Duration::from_secs(2);

/// What is to be decided.
#[derive(Debug, Clone)]
pub struct Question {
    /// What the caller wants.
    pub wish: Wish,
    /// See [`Facts::bound`].
    pub bound: Option<String>,
    /// What is to be evaluated; without it nothing can be said of its costs.
    pub subject: Option<Subject>,
    /// How many examples at once.
    pub at_once: Option<u32>,
    /// A node of the cluster that the caller is connected with already, where it is.
    pub in_use: Option<Client>,
}

/// Decides where an evaluation is executed. `count` gives the number of examples, and is asked only where that could change the choice.
pub async fn decide(
    invocation: &Invocation,
    question: Question,
    count: impl AsyncFnOnce() -> Option<u32>,
) -> Result<Choice, CommandError> {
    let Question { wish, bound, subject, at_once, in_use } = question;
    let named = invocation.named();
    if wish == Wish::Distributed {
        refuse_without_cluster(named)?;
    }
    let mut facts = Facts { wish, named, bound, cluster: Reach::Unasked, here: None, examples: None, at_once };
    if is_open(wish, named, facts.bound.as_deref()) {
        facts.cluster = reach(invocation, in_use, subject.as_ref()).await?;
        if let (Reach::There(Elsewhere { startup: Some(_), .. }), Some(subject)) = (&facts.cluster, &subject) {
            facts.here = here(subject).await;
            facts.examples = if facts.here.is_some() { count().await } else { None };
        }
    }
    Ok(choose(&facts))
}

fn refuse_without_cluster(named: Named) -> Result<(), CommandError> {
    let why = match named {
        Named::Cluster => return Ok(()),
        Named::Nothing => "no address was given",
        Named::Socket => "the address is the socket of an embedded node",
    };
    Err(CommandError::usage(format!("--distributed needs a cluster, and {why}"))
        .hint("name one of its nodes by --address HOST:PORT or DSPEX_ADDRESS; `dspex dev` starts one to try things"))
}

/// The list of runs needs a quorum: who gives it can take a run.
async fn reach(
    invocation: &Invocation,
    in_use: Option<Client>,
    subject: Option<&Subject>,
) -> Result<Reach, CommandError> {
    let client = match in_use {
        Some(client) => client.within(ANSWER_LIMIT),
        None => match invocation.node_within(ANSWER_LIMIT).await {
            Err(error) if is_away(&error.reason) => return Ok(Reach::Away(error.message)),
            connected => connected?,
        },
    };
    match finished(&client).await {
        Ok(runs) => Ok(Reach::There(Elsewhere {
            startup: least_startup(&runs),
            same: subject.and_then(|subject| newest(&runs, subject)),
        })),
        Err(error) if is_away(&error.reason) && !is_foreign(&error) => Ok(Reach::Away(error.message)),
        // A token that is refused, a certificate or a wrong port is to be put right and no reason to go elsewhere.
        Err(error) => Err(error.into()),
    }
}

fn is_away(why: &str) -> bool {
    [reason::NODE_UNREACHABLE, reason::NODE_TIMED_OUT, reason::NODE_STOPPING, reason::NO_LEADER].contains(&why)
}

/// Another server is there: the address is wrong, and no cluster is away.
fn is_foreign(error: &ApiError) -> bool {
    error.get(key::FOREIGN).is_some()
}

/// Of the embedded node, where one runs: none is started only to be asked.
async fn here(subject: &Subject) -> Option<Measured> {
    let limits = TimeLimits { connect: ANSWER_LIMIT_HERE, call: ANSWER_LIMIT_HERE, ..TimeLimits::default() };
    let client = embedded::running(&Home::of_this_process().ok()?, limits).await.ok()??;
    newest(&finished(&client).await.ok()?, subject)
}

/// The newest hundred that have finished, newest first.
async fn finished(client: &Client) -> Result<Vec<Run>, ApiError> {
    let request = ListRunsRequest { all: false, status: vec![RunStatus::Finished.into()] };
    Ok(client.list_runs(request).await?.items)
}

impl Invocation {
    /// What the address stands for.
    fn named(&self) -> Named {
        Named::by(self.address())
    }

    /// As the choice has it: the embedded node in place of the cluster. A socket is here already.
    pub fn placed(&self, choice: &Choice) -> Self {
        match (choice.strategy, self.named()) {
            (Strategy::Local, Named::Cluster) => self.without_address(),
            _ => self.clone(),
        }
    }

    /// Says what was chosen, before it is done. Where no address was given there was nothing to choose.
    pub fn tell(&self, choice: &Choice) {
        let text = told(choice, self.address());
        match &choice.reason {
            Reason::ClusterUnavailable(_) => {
                self.console.warning(&format!("{text}; --distributed makes this an error"));
            }
            Reason::NoAddress => self.console.detail(&text),
            _ => self.console.note(&text),
        }
    }
}

/// As what is to be: whether the cluster takes the run is known when it has answered, and nobody may have asked it before.
fn told(choice: &Choice, address: Option<&Address>) -> String {
    let place = match (choice.strategy, address) {
        (Strategy::Distributed, Some(address)) => format!("asking the cluster at {address}"),
        _ => "executing on this machine".to_owned(),
    };
    format!("{place} ({}): {}", choice.strategy.name(), choice.reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit;

    #[test]
    fn a_cluster_that_has_not_answered_yet_is_said_to_be_asked_and_no_more() {
        let address: Address = "10.0.0.1:7400".parse().expect("an address");
        let forced = |strategy| told(&Choice { strategy, reason: Reason::Forced }, Some(&address));
        let asked = forced(Strategy::Distributed);
        assert_eq!(asked, "asking the cluster at 10.0.0.1:7400 (distributed): it was asked for");
        assert_eq!(forced(Strategy::Local), "executing on this machine (local): it was asked for");
    }

    #[test]
    fn the_cluster_is_asked_for_by_name_or_not_at_all() {
        assert!(refuse_without_cluster(Named::Cluster).is_ok());
        for named in [Named::Nothing, Named::Socket] {
            let refused = refuse_without_cluster(named).expect_err("there is none");
            assert_eq!(refused.exit, exit::USAGE);
            assert!(refused.hint.is_some_and(|hint| hint.contains("--address")), "{named:?}");
        }
    }

    #[test]
    fn another_server_at_the_address_is_no_cluster_that_is_away() {
        let silent = ApiError::unavailable(reason::NODE_UNREACHABLE, "no node answers");
        assert!(!is_foreign(&silent));
        assert!(is_foreign(&silent.with(key::FOREIGN, "it speaks HTTP/1")));
    }

    #[test]
    fn what_a_person_has_to_put_right_is_not_a_cluster_that_is_away() {
        for away in [reason::NODE_UNREACHABLE, reason::NODE_TIMED_OUT, reason::NO_LEADER, reason::NODE_STOPPING] {
            assert!(is_away(away), "{away}");
        }
        for wrong in [reason::UNAUTHENTICATED, reason::PERMISSION_DENIED, reason::TLS_REFUSED, reason::NODE_HAS_NO_VOTE]
        {
            assert!(!is_away(wrong), "{wrong}");
        }
    }
}
