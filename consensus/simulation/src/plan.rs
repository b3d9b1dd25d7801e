//! What goes wrong, and when: drawn from the seed before anything runs, as data that can be printed.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use tokio::Random;

use crate::settings::Settings;
use crate::traps::Moment;

/// Before the first fault the cluster has this long to begin.
pub(crate) const CALM: Duration = Duration::from_secs(3);

/// The pause after what concerns the whole cluster.
const AFTER_HEAVY: Duration = Duration::from_millis(2_500);

/// Something that happens at a time, counted from the begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) at: Duration,
    pub(crate) what: What,
}

/// A node, or whoever leads at the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Leader,
    Node(u64),
}

/// A fault, or a change of the members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// A node loses its power, and is started again.
    Crash { who: Who, down: Duration },
    /// A node loses its power when it next comes to a moment.
    Trap { who: Who, moment: Moment, down: Duration },
    /// The leader is lost for a while. Whoever votes in the next elections crashes, and whoever wins one is isolated.
    Coup { down: Duration, long: Duration },
    /// All nodes lose their power at once.
    PowerCut { down: Duration },
    /// A node stands still, and does not know it afterwards.
    Pause { who: Who, long: Duration },
    /// A node is cut off from all others.
    Isolate { who: Who, long: Duration },
    /// What one node sends another does not arrive; the other way it does.
    Cut { from: Who, to: Who, long: Duration },
    /// These nodes are cut off from the others.
    Split { side: BTreeSet<u64>, long: Duration },
    /// Messages are lost with their connections, and all are slower.
    Storm { lost_per_mille: u64, slower: Duration, long: Duration },
    /// A node's syncs take longer.
    SlowDisk { who: Who, slower: Duration, long: Duration },
    /// A node's clock is set off the true time.
    Clock { who: Who, ahead_ms: i64, long: Duration },
    /// A node writes a snapshot.
    Snapshot { who: Who },
    /// The members are changed.
    Members(Step),
}

/// A change of the members, as an operator makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Takes a node in that follows; it is started with an empty disk when it never ran.
    Add(u64),
    Promote(u64),
    Demote(u64),
    Remove(u64),
    /// Lets another lead.
    Transfer(u64),
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>7.3} s: {}", self.at.as_secs_f64(), self.what)
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leader => f.write_str("the leader"),
            Self::Node(node) => write!(f, "n{node}"),
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crash { who, down } => write!(f, "{who} crashes for {down:?}"),
            Self::Trap { who, moment, down } => write!(f, "{who} crashes for {down:?} when {moment}"),
            Self::Coup { down, long } => {
                write!(f, "the leader crashes for {long:?}, whoever votes next for {down:?}, and who wins is isolated")
            }
            Self::PowerCut { down } => write!(f, "all crash for {down:?}"),
            Self::Pause { who, long } => write!(f, "{who} stands still for {long:?}"),
            Self::Isolate { who, long } => write!(f, "{who} is isolated for {long:?}"),
            Self::Cut { from, to, long } => write!(f, "nothing gets from {from} to {to} for {long:?}"),
            Self::Split { side, long } => write!(f, "{side:?} and the others are split for {long:?}"),
            Self::Storm { lost_per_mille, slower, long } => {
                write!(f, "{lost_per_mille} messages in 1000 are lost, all are slower by {slower:?}, for {long:?}")
            }
            Self::SlowDisk { who, slower, long } => write!(f, "{who} syncs slower by {slower:?} for {long:?}"),
            Self::Clock { who, ahead_ms, long } => write!(f, "{who}'s clock is ahead by {ahead_ms} ms for {long:?}"),
            Self::Snapshot { who } => write!(f, "{who} writes a snapshot"),
            Self::Members(step) => write!(f, "{step}"),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Add(node) => write!(f, "n{node} is taken in"),
            Self::Promote(node) => write!(f, "n{node} gets a vote"),
            Self::Demote(node) => write!(f, "n{node} loses its vote"),
            Self::Remove(node) => write!(f, "n{node} is removed"),
            Self::Transfer(node) => write!(f, "the leader hands over to n{node}"),
        }
    }
}

/// What may go wrong in one simulation. Each leaves some kinds out, so that others come closer together.
struct Draw {
    random: Random,
    nodes: Vec<u64>,
    kinds: Vec<u64>,
    moments: Vec<Moment>,
    longest: Duration,
}

/// The events of a seed, in their order. With a moment, crashes at that one are most of the faults.
pub(crate) fn draw(seed: u64, settings: &Settings, moment: Option<Moment>) -> Vec<Event> {
    let mut random = Random::stream(seed, "plan");
    let nodes: Vec<u64> = (1..=settings.voters).collect();
    let mut kinds: Vec<u64> = (0..KINDS).filter(|_| random.per_mille(500)).collect();
    // One kind comes as often as all others.
    let favourite = random.below(KINDS);
    let favourite = if moment.is_some() { TRAP } else { favourite };
    kinds.extend(vec![favourite; kinds.len() + 1]);
    let moments: Vec<Moment> = Moment::ALL.into_iter().filter(|_| random.per_mille(400)).collect();
    let moments = moment.map_or(moments, |moment| vec![moment]);
    let longest = random.choose(&[300, 1_000, 3_000, 8_000]).copied().unwrap_or(1_000);
    let pause = random.choose(&[200, 600, 1_800]).copied().unwrap_or(600);
    let churns = random.per_mille(650);
    let mut draw = Draw { random, nodes, kinds, moments, longest: Duration::from_millis(longest) };
    let mut events = Vec::new();
    let mut at = CALM;
    while at < settings.chaos {
        if let Some(what) = draw.fault() {
            // Without a pause behind these nothing would ever be written again.
            let heavy = matches!(what, What::Coup { .. } | What::PowerCut { .. });
            events.push(Event { at, what });
            at += if heavy { AFTER_HEAVY } else { Duration::ZERO };
        }
        at += draw.random.time(Duration::from_millis(pause / 4)..Duration::from_millis(pause * 2));
    }
    if churns {
        events.extend(draw.churn(settings));
    }
    events.sort_by_key(|event| event.at);
    events
}

const KINDS: u64 = 12;
const TRAP: u64 = 1;

impl Draw {
    fn who(&mut self) -> Who {
        if self.random.per_mille(350) {
            return Who::Leader;
        }
        Who::Node(self.random.choose(&self.nodes).copied().unwrap_or(1))
    }

    fn long(&mut self) -> Duration {
        self.random.time(Duration::from_millis(20)..self.longest)
    }

    fn fault(&mut self) -> Option<What> {
        let kind = self.random.choose(&self.kinds).copied()?;
        let (who, long) = (self.who(), self.long());
        Some(match kind {
            0 => What::Crash { who, down: long },
            TRAP => {
                let moment = self.random.choose(&self.moments).copied().unwrap_or(Moment::VoteGranted);
                What::Trap { who, moment, down: long }
            }
            2 if self.random.per_mille(400) => What::PowerCut { down: long },
            2 => What::Crash { who: Who::Leader, down: long },
            3 => What::Pause { who, long },
            4 => What::Isolate { who, long },
            5 => What::Cut { from: who, to: self.who(), long },
            6 => {
                let side = self.nodes.clone().into_iter().filter(|_| self.random.per_mille(500)).collect();
                What::Split { side, long }
            }
            7 => {
                let lost_per_mille = self.random.within(5..200);
                let slower = self.random.time(Duration::ZERO..Duration::from_millis(150));
                What::Storm { lost_per_mille, slower, long }
            }
            8 => {
                let slower = self.random.time(Duration::from_millis(20)..Duration::from_millis(1500));
                What::SlowDisk { who, slower, long }
            }
            9 => {
                let most = self.random.choose(&[3_000, 60_000, 7_200_000]).copied().unwrap_or(3_000);
                let off = i64::try_from(self.random.below(most)).unwrap_or(0);
                What::Clock { who, ahead_ms: if self.random.per_mille(700) { off } else { -off }, long }
            }
            10 => {
                let down = self.random.time(Duration::from_millis(5)..Duration::from_millis(200));
                let long = self.random.time(Duration::from_millis(1_500)..Duration::from_millis(4_000));
                What::Coup { down, long }
            }
            _ => What::Snapshot { who },
        })
    }

    /// Members come and go. The plan does not know which change will succeed; those that make no sense are refused.
    fn churn(&mut self, settings: &Settings) -> Vec<Event> {
        let mut spares: Vec<u64> = (settings.voters + 1..=settings.voters + settings.spares).collect();
        let (mut members, mut removed) = (self.nodes.clone(), Vec::new());
        let (mut events, mut at) = (Vec::new(), CALM);
        while at < settings.chaos {
            at += self.random.time(Duration::from_millis(300)..Duration::from_millis(5_000));
            let other = self.random.choose(&members).copied().unwrap_or(1);
            let new = if self.random.per_mille(750) { spares.pop() } else { removed.pop() };
            let steps = match (self.random.below(6), new) {
                (0..4, Some(new)) if self.random.per_mille(500) => {
                    members.push(new);
                    members.retain(|member| *member != other);
                    removed.push(other);
                    vec![Step::Add(new), Step::Promote(new), Step::Remove(other)]
                }
                (_, Some(new)) => {
                    members.push(new);
                    vec![Step::Add(new), Step::Promote(new)]
                }
                (0, None) if members.len() > 2 => {
                    members.retain(|member| *member != other);
                    removed.push(other);
                    vec![Step::Remove(other)]
                }
                (1..3, None) if members.len() > 2 => vec![Step::Demote(other), Step::Promote(other)],
                _ => vec![Step::Transfer(other)],
            };
            events.extend(steps.into_iter().map(|step| Event { at, what: What::Members(step) }));
        }
        events
    }
}
