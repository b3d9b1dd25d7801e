//! What nodes tell each other while runs execute: orders go from a run's owner to the nodes whose workers carry them out, reports
//! come back. All of it may be lost: what counts is in the log, and an owner that loses a node plans what it held again.

use serde::{Deserialize, Serialize};

use crate::{CodecError, RunId, RunSpec, RunStatus, Shipped, codec};

const VERSION: u8 = 1;
const WHAT: &str = "a message of a peer";

/// The longest message: a question of user code carries a pickled prediction.
pub const PEER_MESSAGE_BYTES_MAX: usize = 32 << 20;

/// One message between two nodes. Variants are numbered on the wire: new ones go last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum PeerMessage {
    /// How the sender is, said again and again.
    Presence(Presence),
    /// From a run's owner.
    Order(RunOrder),
    /// To a run's owner.
    Report(RunReport),
    /// The program that submitted the run watches it through the sender.
    Attended {
        /// Which run.
        run: RunId,
    },
    /// How many workers of runs the sender has: while it drains, people wait for the last.
    RunWorkers {
        /// Of all runs, whoever owns them.
        count: u32,
    },
}

/// What a node could do now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// CPUs that it may use: as many workers it takes by default.
    pub cpus: u32,
    /// Workers of runs that it has, those that check a program among them.
    pub workers: u32,
    /// Workers of runs that it may have.
    pub workers_max: u32,
    /// It takes nothing new.
    pub is_draining: bool,
}

/// An order of a run's owner. `epoch` fences it: orders of a former owner are not carried out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunOrder {
    /// Of which run.
    pub run: RunId,
    /// The owner's.
    pub epoch: u64,
    /// What to do.
    pub what: WorkOrder,
}

/// What an owner wants. A worker is named by the number that its owner gave it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum WorkOrder {
    /// Start a worker of this run.
    Employ(Box<Employment>),
    /// Execute these examples.
    Execute {
        /// On which worker.
        worker: u64,
        /// In this order.
        examples: Vec<OrderedExample>,
    },
    /// Say whether the worker's interpreter answers.
    Ping {
        /// Which worker.
        worker: u64,
    },
    /// End the worker at once.
    Kill {
        /// Which worker.
        worker: u64,
    },
    /// Let the worker do what it has left for its end, and end.
    Finish {
        /// Which worker.
        worker: u64,
    },
    /// The driver's answer to a question of user code.
    Answer {
        /// Which worker.
        worker: u64,
        /// Which of its questions.
        id: u64,
        /// For the worker alone.
        body: Option<Vec<u8>>,
        /// Why there is no answer.
        error: Option<String>,
    },
    /// Execute so many examples at once from now on.
    Threads {
        /// On which worker.
        worker: u64,
        /// At least 1.
        count: u32,
    },
    /// How much the run is to have of a node beside others.
    Weigh {
        /// From 1.
        weight: u32,
    },
}

/// What a worker of another node is started with: all that the node needs to know of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Employment {
    /// The number that the owner gives it.
    pub worker: u64,
    /// Its name for people.
    pub id: String,
    /// Examples that it executes at once.
    pub threads: u32,
    /// Fences results.
    pub generation: u64,
    /// What the run is.
    pub spec: RunSpec,
    /// Its code. Stands beside the specification as in a command.
    pub shipped: Shipped,
}

/// An example that is to be executed. Its row is a line of the run's dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderedExample {
    /// Position in the dataset.
    pub index: u32,
    /// Which execution it is, from 1.
    pub attempt: u32,
    /// W3C trace context of the example.
    pub traceparent: Option<String>,
}

/// A report to a run's owner.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunReport {
    /// Of which run.
    pub run: RunId,
    /// Of which owner.
    pub epoch: u64,
    /// What has happened.
    pub what: WorkReport,
}

/// What a node has to say of the workers that it has for another node's run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum WorkReport {
    /// The worker has loaded the program, from these files: path and sha256.
    Ready {
        /// Which worker.
        worker: u64,
        /// The program's own files.
        sources: Vec<(String, String)>,
    },
    /// Examples are executed, and on their way to the log.
    Executed {
        /// By which worker.
        worker: u64,
        /// In the order of their ends.
        examples: Vec<ExecutedExample>,
    },
    /// So many results were taken by the log, or refused.
    Recorded {
        /// How many.
        results: u32,
        /// The run's status after them; an error: the log or the disk does not take them.
        status: Result<RunStatus, String>,
    },
    /// The run cannot have a score.
    Fatal {
        /// Of which worker.
        worker: u64,
        /// Says what to do.
        message: String,
        /// The example, where one shows it.
        index: Option<u64>,
    },
    /// The worker's interpreter answers.
    Answers {
        /// Of which worker.
        worker: u64,
    },
    /// User code asks the driver.
    Asks {
        /// In which worker.
        worker: u64,
        /// Which of its questions.
        id: u64,
        /// The example that asks.
        index: u64,
        /// Opened by the driver only.
        body: Vec<u8>,
    },
    /// The worker is to finish what it has and end.
    Leaves {
        /// Which worker.
        worker: u64,
        /// Whether another one is to take its place.
        replace: bool,
    },
    /// The program printed. Said by nodes of versions that had no telemetry channel; others say it there.
    Printed {
        /// The worker's name.
        id: String,
        /// A line.
        text: String,
        /// Bytes that were left out since the last line.
        dropped_bytes: u64,
    },
    /// The worker is gone.
    Ended {
        /// Which worker.
        worker: u64,
        /// For a person.
        message: String,
        /// The end of what it printed.
        output: String,
        /// Whose doing it was.
        by: EndedBy,
        /// The node cannot have workers of this run: another environment, or it ends.
        is_refused: bool,
    },
}

/// An example that was executed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExecutedExample {
    /// Position in the dataset.
    pub index: u32,
    /// How long it took in the worker.
    pub duration_us: u64,
    /// Its score.
    pub score: f64,
    /// Why it failed: class and message.
    pub failure: Option<(String, String)>,
    /// Tokens of its language models: input and output.
    pub tokens: Option<(i64, i64)>,
}

/// Whose doing the end of a worker was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EndedBy {
    /// Its own, so perhaps its program's.
    Itself,
    /// The node's: nobody is charged.
    Node,
    /// Its zygote's, which ended before it.
    Zygote,
}

impl PeerMessage {
    /// As bytes for the wire.
    ///
    /// # Errors
    /// When it is longer than [`PEER_MESSAGE_BYTES_MAX`].
    pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
        let bytes = codec::encode(WHAT, VERSION, self)?;
        if bytes.len() > PEER_MESSAGE_BYTES_MAX {
            return Err(CodecError::TooLarge { what: WHAT, bytes: bytes.len(), limit: PEER_MESSAGE_BYTES_MAX });
        }
        Ok(bytes)
    }

    /// From bytes of the wire.
    ///
    /// # Errors
    /// When a newer version wrote them, or they are none.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode_long(WHAT, VERSION, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_question_comes_through_and_a_longer_one_is_refused_where_it_is_sent() {
        let asks = |length: usize| {
            let what = WorkReport::Asks { worker: 1, id: 2, index: 3, body: vec![7; length] };
            PeerMessage::Report(RunReport { run: RunId(4), epoch: 5, what })
        };
        let long = asks(PEER_MESSAGE_BYTES_MAX / 2);
        assert_eq!(PeerMessage::decode(&long.encode().expect("encodes")).expect("decodes"), long);
        assert!(matches!(asks(PEER_MESSAGE_BYTES_MAX).encode(), Err(CodecError::TooLarge { .. })));
    }

    #[test]
    fn what_is_no_message_is_refused() {
        assert!(PeerMessage::decode(b"").is_err() && PeerMessage::decode(&[1, 250, 0]).is_err());
        assert!(matches!(PeerMessage::decode(&[2, 0]), Err(CodecError::Newer { .. })));
        // A length that nobody could have sent.
        assert!(PeerMessage::decode(&[1, 2, 0, 0, 1, 253, 255, 255, 255, 255, 255, 255, 255, 255]).is_err());
    }
}
