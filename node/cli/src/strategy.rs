//! Where an evaluation is executed: on this machine, by the embedded node, or by the cluster at the address.
//!
//! It is decided once, before anything is submitted, from plain data; a run that was submitted stays where it is. Whoever names an
//! address expects the cluster, so it takes a reason to stay here: the cluster is away, or figures that were measured on both sides
//! say that the evaluation is over here before it is there. Who finds the facts out: `asking`.

mod asking;
mod history;
#[cfg(test)]
mod tests;

pub use asking::{Question, decide};
pub use history::{Dataset, Subject};

use std::fmt;
use std::time::Duration;

use dspex_api::Address;
use history::Measured;
use serde_json::{Map, Value};

/// How many examples a run executes at once where neither the caller nor the program says it.
const AT_ONCE: u32 = 8;

/// Where an evaluation is executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// By a node on this machine that belongs to this user.
    Local,
    /// By the cluster at the address.
    Distributed,
}

impl Strategy {
    /// Its word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Distributed => "distributed",
        }
    }
}

/// What the caller wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Whatever is better.
    Auto,
    /// `--local`.
    Local,
    /// `--distributed`.
    Distributed,
}

/// What the address stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// There is none.
    Nothing,
    /// The socket of an embedded node.
    Socket,
    /// A `dspex node`, which may be one of many.
    Cluster,
}

impl Named {
    /// What an address names.
    pub fn by(address: Option<&Address>) -> Self {
        match address {
            None => Self::Nothing,
            Some(Address::Unix(_)) => Self::Socket,
            Some(_) => Self::Cluster,
        }
    }
}

/// What is known of the cluster.
#[derive(Debug, Clone, PartialEq)]
pub enum Reach {
    /// Nobody had to ask.
    Unasked,
    /// It does not answer, or has no quorum: why.
    Away(String),
    /// It answers.
    There(Elsewhere),
}

/// What the runs of the cluster have shown.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Elsewhere {
    /// The least that any of its runs took from its submission to its first example.
    pub startup: Option<Duration>,
    /// The newest run of the same.
    pub same: Option<Measured>,
}

/// All that the choice depends on.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// What the caller wants.
    pub wish: Wish,
    /// What the address stands for.
    pub named: Named,
    /// What was asked for that is the business of the node at the address: an option, as it was written.
    pub bound: Option<String>,
    /// How the cluster is.
    pub cluster: Reach,
    /// The newest run of the same on the embedded node.
    pub here: Option<Measured>,
    /// How many examples are to be executed, where that is known.
    pub examples: Option<u32>,
    /// How many of them at once, where that was said.
    pub at_once: Option<u32>,
}

/// What was chosen, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// Where.
    pub strategy: Strategy,
    /// Why.
    pub reason: Reason,
}

impl Choice {
    /// For the object that a command ends with.
    pub fn fields(&self) -> Map<String, Value> {
        let fields = [
            ("strategy", self.strategy.name().to_owned()),
            ("strategy_reason", self.reason.name().to_owned()),
            ("strategy_detail", self.reason.to_string()),
        ];
        fields.into_iter().map(|(name, text)| (name.to_owned(), Value::from(text))).collect()
    }
}

/// Why a place was chosen.
#[derive(Debug, Clone, PartialEq)]
pub enum Reason {
    /// The caller said so.
    Forced,
    /// There is no other place.
    NoAddress,
    /// The address is on this machine.
    SocketAddress,
    /// This option is the business of the node at the address.
    Bound(String),
    /// The cluster does not answer, or cannot write.
    ClusterUnavailable(String),
    /// It takes less time.
    ExpectedFaster(Expected),
    /// Nothing says that this machine would be faster.
    CostsUnknown,
}

impl Reason {
    /// Its word, for programs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Forced => "forced",
            Self::NoAddress => "no_address",
            Self::SocketAddress => "socket_address",
            Self::Bound(_) => "needs_cluster",
            Self::ClusterUnavailable(_) => "cluster_unavailable",
            Self::ExpectedFaster(_) => "expected_faster",
            Self::CostsUnknown => "costs_unknown",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forced => f.write_str("it was asked for"),
            Self::NoAddress => f.write_str("no address of a cluster was given"),
            Self::SocketAddress => f.write_str("the address is the socket of a node on this machine"),
            Self::Bound(option) => write!(f, "{option} is for the node at the address"),
            Self::ClusterUnavailable(why) => f.write_str(why),
            Self::ExpectedFaster(expected) => write!(f, "{expected}"),
            Self::CostsUnknown => {
                f.write_str("an address was given, and nothing was measured that says that this machine is faster")
            }
        }
    }
}

/// What an evaluation is expected to take, from its submission to its end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Expected {
    /// How many examples.
    pub examples: u32,
    /// On this machine, at the most.
    pub here: Duration,
    /// At the cluster, at the least.
    pub there: Duration,
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { examples, here, there } = self;
        let (here, there) = (here.as_secs_f64(), there.as_secs_f64());
        write!(f, "{examples} examples are expected to take {here:.2} s here and {there:.2} s or more at the cluster")
    }
}

/// Whether anybody has to be asked before the choice.
pub fn is_open(wish: Wish, named: Named, bound: Option<&str>) -> bool {
    wish == Wish::Auto && named == Named::Cluster && bound.is_none()
}

/// The place for an evaluation.
pub fn choose(facts: &Facts) -> Choice {
    let (strategy, reason) = match (facts.wish, facts.named, &facts.bound) {
        (Wish::Local, ..) => (Strategy::Local, Reason::Forced),
        (Wish::Distributed, ..) => (Strategy::Distributed, Reason::Forced),
        (Wish::Auto, Named::Nothing, _) => (Strategy::Local, Reason::NoAddress),
        (Wish::Auto, Named::Socket, _) => (Strategy::Local, Reason::SocketAddress),
        (Wish::Auto, Named::Cluster, Some(option)) => (Strategy::Distributed, Reason::Bound(option.clone())),
        (Wish::Auto, Named::Cluster, None) => match &facts.cluster {
            Reach::Away(why) => (Strategy::Local, Reason::ClusterUnavailable(why.clone())),
            Reach::Unasked => (Strategy::Distributed, Reason::CostsUnknown),
            Reach::There(elsewhere) => by_costs(expected(facts, elsewhere), elsewhere.same.is_some()),
        },
    };
    Choice { strategy, reason }
}

/// `is_known_there`: the cluster has executed the same. Without that nothing says how fast it is, only that it cannot be faster than
/// the start of a run.
fn by_costs(expected: Option<Expected>, is_known_there: bool) -> (Strategy, Reason) {
    match expected {
        Some(expected) if expected.here < expected.there => (Strategy::Local, Reason::ExpectedFaster(expected)),
        Some(expected) if is_known_there => (Strategy::Distributed, Reason::ExpectedFaster(expected)),
        _ => (Strategy::Distributed, Reason::CostsUnknown),
    }
}

/// Nothing, unless both sides were measured. A doubt is decided for the cluster: more threads than a run here had are not expected
/// to help here, and what nobody has executed there yet is expected to take no time there beside the start of a run. An earlier run may
/// have been told its threads: where nobody says them now, the default counts here, and there whichever is more.
fn expected(facts: &Facts, elsewhere: &Elsewhere) -> Option<Expected> {
    let (examples, local, startup) = (facts.examples?, facts.here?, elsewhere.startup?);
    let at_once = facts.at_once.unwrap_or(AT_ONCE).min(local.at_once);
    let here = local.startup.saturating_add(in_waves(examples, at_once, local.of_one()));
    let there = |same: Measured| facts.at_once.unwrap_or(same.at_once.max(AT_ONCE));
    let execution = elsewhere.same.map(|same| in_waves(examples, there(same), same.of_one()));
    Some(Expected { examples, here, there: startup.saturating_add(execution.unwrap_or_default()) })
}

/// So many at once, one wave after the other.
fn in_waves(examples: u32, at_once: u32, of_one: Duration) -> Duration {
    of_one.saturating_mul(examples.div_ceil(at_once.max(1)))
}
