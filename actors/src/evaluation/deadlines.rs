//! What is done about an example past its deadline: its worker is killed, but an example that holds the interpreter makes
//! its neighbours late, too, and they must not be blamed for it.

use super::plan::{Cause, WorkerKey};
use super::work::Work;
use super::workers::Deadline;
use crate::worker::WorkerMessage;

/// How long a worker may take to answer; a busy interpreter passes the lock on every few milliseconds.
const ANSWER_MAX_US: u64 = 1_000_000;

impl Work {
    /// Looks for late examples. A worker that executes several is asked first whether it answers.
    pub(super) fn judge_deadlines(&mut self) {
        let now_us = self.now_us();
        for (key, index) in self.plan.overdue(now_us) {
            let Some(member) = self.members.get_mut(&key) else { continue };
            match member.deadline {
                Deadline::Met if self.plan.is_alone(key) => self.kill(key, Cause::Deadline { index }),
                Deadline::Met => {
                    member.deadline = Deadline::Asked { since_us: now_us };
                    self.tell(key, WorkerMessage::Ping);
                }
                Deadline::Asked { since_us } if now_us.saturating_sub(since_us) >= ANSWER_MAX_US => {
                    self.kill(key, Cause::Unresponsive { index });
                }
                Deadline::Asked { .. } | Deadline::Killed(_) => {}
            }
        }
    }

    /// The worker answers, so what is late in it is late by itself.
    pub(super) fn answers(&mut self, key: WorkerKey) {
        let Some(member) = self.members.get_mut(&key) else { return };
        let Deadline::Asked { .. } = member.deadline else { return };
        member.deadline = Deadline::Met;
        let late = self.plan.overdue(self.now_us());
        if let Some((_, index)) = late.into_iter().find(|(late, _)| *late == key) {
            self.kill(key, Cause::Deadline { index });
        }
    }

    fn kill(&mut self, key: WorkerKey, cause: Cause) {
        if let Some(member) = self.members.get_mut(&key) {
            member.deadline = Deadline::Killed(cause);
            self.tell(key, WorkerMessage::Kill);
        }
    }
}
