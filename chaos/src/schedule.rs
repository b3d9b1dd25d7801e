//! What breaks when: plain data, made from a seed, printed where a run is red.

use std::fmt;
use std::time::Duration;

use crate::control::Chance;

/// A fault at certain nodes, by their positions from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// kill -9; started again at its end.
    Kill(Vec<usize>),
    /// SIGSTOP; SIGCONT at its end.
    Pause(Vec<usize>),
    /// Groups that do not reach each other.
    Partition(Vec<Vec<usize>>),
    /// What the first sends does not reach the others; the other way is open.
    OneWay(usize, Vec<usize>),
    /// Whoever leads when it begins reaches nobody.
    IsolateLeader,
    /// The clock of a node is set by so many seconds, and set right at its end.
    JumpClock(usize, i64),
    /// What these nodes had not synced is gone, at once; the power comes back at its end.
    CutPower(Vec<usize>),
    /// ENOSPC.
    FillDisk(usize),
    /// EROFS, by an emergency of the kernel.
    ForbidWrites(usize),
    /// EIO.
    FailDisk(usize),
    /// The node is stopped, a byte of a value that it stored is flipped, and it is started: it must refuse. At its end the byte
    /// is put right.
    FlipByte(usize),
    /// kill -9 of Python workers of a run, at this node or, where it has none, at the next one that has.
    KillWorkers(usize),
}

/// A fault with its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// From the start of the schedule.
    pub at: Duration,
    /// How long it lasts.
    pub lasts: Duration,
    /// What breaks.
    pub fault: Fault,
}

/// All that breaks in a run, in the order of its beginnings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// What it was made from.
    pub seed: u64,
    /// One after the other: a step begins after the end of the one before.
    pub steps: Vec<Step>,
}

/// Draws the faults of a scenario: chance and the number of nodes.
pub type Draw = fn(&mut Chance, usize) -> Fault;

impl Schedule {
    /// Faults one after the other for about so long, but at least `least` of them. Each lasts 0.3 to 2.3 seconds, one of six eight seconds more,
    /// long enough for an election; half a second to a second and a half of peace are before it.
    pub fn draw(seed: u64, nodes: usize, length: Duration, least: usize, draw: Draw) -> Self {
        let mut chance = Chance::new(seed);
        let (mut at, mut steps) = (Duration::ZERO, Vec::new());
        while at < length || steps.len() < least {
            at += Duration::from_millis(500 + chance.below(1000));
            let longer = if chance.below(6) == 0 { 8000 } else { 0 };
            let lasts = Duration::from_millis(300 + chance.below(2000) + longer);
            steps.push(Step { at, lasts, fault: draw(&mut chance, nodes) });
            at += lasts;
        }
        Self { seed, steps }
    }
}

impl Fault {
    /// The kind, in reports and in commands of an operator.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Kill(_) => "kill",
            Self::Pause(_) => "pause",
            Self::Partition(_) => "partition",
            Self::OneWay(..) => "one-way",
            Self::IsolateLeader => "isolate-leader",
            Self::JumpClock(..) => "clock",
            Self::CutPower(_) => "power-cut",
            Self::FillDisk(_) => "full-disk",
            Self::ForbidWrites(_) => "read-only",
            Self::FailDisk(_) => "failing-disk",
            Self::FlipByte(_) => "flipped-byte",
            Self::KillWorkers(_) => "kill-workers",
        }
    }

    /// The nodes that an operator's command has to break, where it is about nodes by themselves.
    pub fn nodes(&self) -> Option<Vec<usize>> {
        match self {
            Self::Kill(nodes) | Self::Pause(nodes) | Self::CutPower(nodes) => Some(nodes.clone()),
            Self::JumpClock(node, _)
            | Self::FillDisk(node)
            | Self::ForbidWrites(node)
            | Self::FailDisk(node)
            | Self::FlipByte(node)
            | Self::KillWorkers(node) => Some(vec![*node]),
            Self::Partition(_) | Self::OneWay(..) | Self::IsolateLeader => None,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |nodes: &[usize]| {
            let names: Vec<String> = nodes.iter().map(|node| format!("node-{}", node + 1)).collect();
            names.join(" ")
        };
        write!(f, "{}", self.kind())?;
        match self {
            Self::Partition(groups) => {
                let groups: Vec<String> = groups.iter().map(|group| names(group)).collect();
                write!(f, " {}", groups.join(" | "))
            }
            Self::OneWay(from, to) => write!(f, " {} -> {}", names(&[*from]), names(to)),
            Self::IsolateLeader => Ok(()),
            Self::JumpClock(node, seconds) => write!(f, " {} {seconds:+} s", names(&[*node])),
            _ => write!(f, " {}", names(&self.nodes().unwrap_or_default())),
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}: {} faults", self.seed, self.steps.len())?;
        for Step { at, lasts, fault } in &self.steps {
            write!(f, "\n  at {:>6.2} s for {:.2} s  {fault}", at.as_secs_f64(), lasts.as_secs_f64())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(chance: &mut Chance, nodes: usize) -> Fault {
        let node = usize::try_from(chance.below(nodes as u64)).unwrap_or(0);
        if chance.percent(50) { Fault::Kill(vec![node]) } else { Fault::Pause(vec![node]) }
    }

    #[test]
    fn a_schedule_is_the_same_for_the_same_seed_and_never_empty() {
        let of = |seed| Schedule::draw(seed, 3, Duration::from_secs(20), 2, draw);
        assert_eq!(of(1), of(1));
        assert_ne!(of(1).steps, of(2).steps);
        assert_eq!(Schedule::draw(1, 3, Duration::ZERO, 2, draw).steps.len(), 2);
        let steps = of(3).steps;
        assert!(steps.windows(2).all(|pair| pair[0].at + pair[0].lasts < pair[1].at), "one after the other");
    }

    #[test]
    fn a_schedule_is_read_by_a_person() {
        let at = Duration::from_millis(1500);
        let step = |fault| Step { at, lasts: at, fault };
        let steps = vec![
            step(Fault::Partition(vec![vec![0, 1], vec![2]])),
            step(Fault::JumpClock(2, -3600)),
            step(Fault::CutPower(vec![0, 2])),
        ];
        let shown = Schedule { seed: 9, steps }.to_string();
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(
            lines,
            [
                "seed 9: 3 faults",
                "  at   1.50 s for 1.50 s  partition node-1 node-2 | node-3",
                "  at   1.50 s for 1.50 s  clock node-3 -3600 s",
                "  at   1.50 s for 1.50 s  power-cut node-1 node-3",
            ]
        );
    }
}
