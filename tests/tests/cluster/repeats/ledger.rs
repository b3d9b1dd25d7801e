//! Who was called for which example, on which node: the program writes a line when a call begins, so a repeat is counted where it happens.

use std::collections::{BTreeMap, BTreeSet};

use dspex_tests::Project;

use crate::subject;

const FILE: &str = "ledger";
/// While there is this file, calls that have begun do not go on.
const HELD: &str = "held";
/// And where there is this one, they take no time.
const QUICK: &str = "quick";

/// The project is unpacked below the data of each node, whose directory bears its name.
const PROGRAM: &str = r#"
import re

NODE = re.search(r"/node-(\d+)/data/", os.path.realpath(__file__))

def began(n):
    # One write to the end of the file: lines of several processes do not mix.
    ledger = os.open("@LEDGER@", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(ledger, f"{n} {NODE.group(1)} {os.getpid()}\n".encode())
    finally:
        os.close(ledger)

class Program(dspy.Module):
    def forward(self, n):
        began(n)
        while os.path.exists("@HELD@"):
            time.sleep(0.02)
        if not os.path.exists("@QUICK@"):
            time.sleep(@SECONDS@)
        return dspy.Prediction(double=2 * int(n))

program = Program()

def metric(example, prediction):
    return prediction.double % 3 == 0
"#;

/// A project whose calls are written down beside it: it is sent to the nodes, and read-only there.
pub struct Subject {
    pub project: Project,
    beside: Project,
}

impl Subject {
    pub fn new(examples: usize, seconds: f64) -> Self {
        let beside = Project::empty();
        let path = |name: &str| beside.path(name).display().to_string();
        let program = PROGRAM.replace("@LEDGER@", &path(FILE)).replace("@SECONDS@", &seconds.to_string());
        let program = program.replace("@HELD@", &path(HELD)).replace("@QUICK@", &path(QUICK));
        Self { project: subject::project(&program, examples), beside }
    }

    /// Calls that have begun wait until they are released.
    pub fn hold(&self) {
        self.beside.file(HELD, "");
    }

    /// They go on.
    pub fn release(&self) {
        std::fs::remove_file(self.beside.path(HELD)).expect("held");
    }

    /// From now on calls take no time.
    pub fn hurry(&self) {
        self.beside.file(QUICK, "");
    }

    /// All calls so far.
    pub fn ledger(&self) -> Ledger {
        Ledger::parse(&self.beside.read(FILE))
    }
}

/// A call that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    pub example: u32,
    pub node: usize,
    pub process: u32,
}

/// Calls in the order of their beginnings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger(Vec<Call>);

/// A call for an example that had been called for before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeat {
    pub example: u32,
    /// Its place among all calls.
    pub place: usize,
    /// How often its example had been called for before it.
    pub earlier: usize,
    /// The place of the first call for the example, and the node that got it.
    pub first: (usize, usize),
    /// How many different examples had been called for when it began.
    pub begun: usize,
}

impl Ledger {
    /// A line that was cut off is no call.
    pub fn parse(text: &str) -> Self {
        let call = |line: &str| {
            let mut words = line.strip_suffix('\n')?.split(' ').map(str::parse::<u32>);
            let (example, node, process) = (words.next()?.ok()?, words.next()?.ok()?, words.next()?.ok()?);
            Some(Call { example, node: usize::try_from(node).ok()?, process })
        };
        Self(text.split_inclusive('\n').filter_map(call).collect())
    }

    /// How many calls there were.
    pub fn calls(&self) -> usize {
        self.0.len()
    }

    /// The nodes that were called.
    pub fn nodes(&self) -> BTreeSet<usize> {
        self.0.iter().map(|call| call.node).collect()
    }

    /// The Python processes that were called.
    pub fn processes(&self) -> BTreeSet<u32> {
        self.0.iter().map(|call| call.process).collect()
    }

    /// The examples that were called for.
    pub fn begun(&self) -> BTreeSet<u32> {
        self.0.iter().map(|call| call.example).collect()
    }

    /// The examples of a node that have no result yet.
    pub fn under_way(&self, node: usize, recorded: &BTreeSet<u32>) -> BTreeSet<u32> {
        let of_node = self.0.iter().filter(|call| call.node == node).map(|call| call.example);
        of_node.filter(|example| !recorded.contains(example)).collect()
    }

    /// The calls for examples that had been called for.
    pub fn repeats(&self) -> Vec<Repeat> {
        // By example: the place and the node of the first call, and how many there were.
        let mut seen: BTreeMap<u32, ((usize, usize), usize)> = BTreeMap::new();
        let mut repeats = Vec::new();
        for (place, call) in self.0.iter().enumerate() {
            let begun = seen.len();
            let (first, earlier) = seen.entry(call.example).or_insert(((place, call.node), 0));
            if *earlier > 0 {
                repeats.push(Repeat { example: call.example, place, earlier: *earlier, first: *first, begun });
            }
            *earlier += 1;
        }
        repeats
    }
}
