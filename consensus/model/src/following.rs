//! What nodes tell each other of a run beyond the log: who follows it through another node asks its owner for prints, warnings and
//! questions to the driver (the channel real_time), and prints of workers come to the owner (the channel telemetry). All of it may
//! be lost: nothing that counts is said here.

use serde::{Deserialize, Serialize};

use crate::{CodecError, PEER_MESSAGE_BYTES_MAX, RunId, codec};

const VERSION: u8 = 1;
const WHAT: &str = "a message about a run that is followed";

/// Where a line stands among all that a run has to say. The owner's epoch comes first: every owner begins to count anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LineCursor {
    /// Of the owner; 0: before all of them.
    pub epoch: u64,
    /// Of the line under that owner, from 1; 0: before all of them.
    pub number: u64,
}

/// Something for the watchers of a run. Variants are numbered on the wire: new ones go last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BoardEvent {
    /// The program printed.
    Output {
        /// Which worker.
        worker: String,
        /// What, a line.
        text: String,
        /// Bytes that were left out since this worker's last event.
        dropped_bytes: u64,
    },
    /// A person should know.
    Warning(String),
}

/// A question of user code to the driver, as its run's owner has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoardQuestion {
    /// Of all questions under this owner, from 1.
    pub number: u64,
    /// Which worker.
    pub worker: String,
    /// Which of its questions.
    pub id: u64,
    /// The example that asks.
    pub index: u64,
    /// For the driver alone.
    pub body: Vec<u8>,
}

/// What a node asks a run's owner. Variants are numbered on the wire: new ones go last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FollowRequest {
    /// Lines behind this one, as soon as there are some.
    Lines {
        /// Of which run.
        run: RunId,
        /// The last that the asking node has.
        after: LineCursor,
        /// How long to wait for one.
        wait_ms: u32,
        /// The run has ended: only what is still on its way is waited for.
        has_ended: bool,
    },
    /// Questions without an answer behind this one, as soon as there are some.
    Questions {
        /// Of which run.
        run: RunId,
        /// Who answers, by the number that an owner gave it when it came. Of several the greatest does: it came last.
        driver: u128,
        /// The last that it has; the number counts under this epoch only.
        after: LineCursor,
        /// How long to wait for one.
        wait_ms: u32,
    },
    /// The driver's answer to a question.
    Answer {
        /// Of which run.
        run: RunId,
        /// Which worker asked.
        worker: String,
        /// Which of its questions.
        id: u64,
        /// For the worker alone.
        body: Option<Vec<u8>>,
        /// Why there is no answer.
        error: Option<String>,
    },
    /// A driver comes, and is asked from here on.
    Drive {
        /// Of which run.
        run: RunId,
    },
}

/// What the owner answers. Variants are numbered on the wire: new ones go last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FollowReply {
    /// The asked node knows nothing of the run beyond the log: it is not its owner, or not yet.
    Nothing,
    /// In their order. What is missing between two of them, or before the first, is not kept any more.
    Lines {
        /// Each with its place.
        lines: Vec<(LineCursor, BoardEvent)>,
        /// How far the owner is.
        head: LineCursor,
    },
    /// In their order.
    Questions {
        /// Under which they are counted.
        epoch: u64,
        /// As many as fit.
        questions: Vec<BoardQuestion>,
    },
    /// Another driver came later, and gets the questions.
    Replaced,
    /// The answer is taken; a question that has one, or whose worker is gone, needs none.
    Answered,
    /// The driver that has come.
    Driver {
        /// Its number, under this owner and all that follow.
        driver: u128,
    },
}

/// A line that was printed at another node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrintedLine {
    /// The worker's name.
    pub worker: String,
    /// What it printed.
    pub text: String,
    /// Bytes that the worker's own budget has left out since the last line.
    pub dropped_bytes: u64,
    /// All bytes that workers of this run have printed at the sender, these and those left out among them: what is missing was
    /// lost on the way.
    pub total_bytes: u64,
}

/// What a node says to a run's owner on the telemetry channel. Variants are numbered on the wire: new ones go last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TelemetryMessage {
    /// Workers of the sender printed.
    Printed {
        /// Of which run.
        run: RunId,
        /// Under which owner the workers were employed.
        epoch: u64,
        /// What, in its order.
        lines: Vec<PrintedLine>,
    },
    /// No worker of this run is left at the sender.
    PrintsEnded {
        /// Of which run.
        run: RunId,
        /// Under which owner.
        epoch: u64,
        /// All bytes that they have printed.
        total_bytes: u64,
    },
}

macro_rules! on_the_wire {
    ($($message:ty),+) => {$(
        impl $message {
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
    )+};
}

on_the_wire!(FollowRequest, FollowReply, TelemetryMessage);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_a_later_owner_come_after_all_of_an_earlier_one() {
        let at = |epoch, number| LineCursor { epoch, number };
        let ordered = [LineCursor::default(), at(1, 0), at(1, 1), at(1, 900), at(2, 0), at(2, 1)];
        assert!(ordered.is_sorted() && ordered.windows(2).all(|two| two[0] != two[1]));
    }

    #[test]
    fn a_question_that_no_frame_carries_is_refused_where_it_is_sent() {
        let reply = |length: usize| {
            let question = BoardQuestion { number: 1, worker: "w".to_owned(), id: 2, index: 3, body: vec![7; length] };
            FollowReply::Questions { epoch: 4, questions: vec![question] }
        };
        let long = reply(PEER_MESSAGE_BYTES_MAX / 2);
        assert_eq!(FollowReply::decode(&long.encode().expect("encodes")).expect("decodes"), long);
        assert!(matches!(reply(PEER_MESSAGE_BYTES_MAX).encode(), Err(CodecError::TooLarge { .. })));
    }

    #[test]
    fn what_is_no_message_is_refused() {
        assert!(FollowRequest::decode(b"").is_err() && FollowReply::decode(&[1, 250]).is_err());
        assert!(TelemetryMessage::decode(&[1, 0, 7]).is_err());
        assert!(matches!(FollowRequest::decode(&[2, 0]), Err(CodecError::Newer { .. })));
    }
}
