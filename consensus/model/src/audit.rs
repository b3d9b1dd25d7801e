//! The audit trail: who changed what, and when. Reads are not in it.

use serde::{Deserialize, Serialize};

use crate::{Command, Outcome};

/// Entries that are kept; the oldest goes with each new one.
pub const AUDIT_ENTRIES_MAX: usize = 10_000;

/// Bytes of a text in an entry; longer ones are cut.
const TEXT_BYTES_MAX: usize = 256;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Log time.
    pub at_ms: u64,
    /// Who: the name of a token, or of the local user.
    pub actor: String,
    /// What was done: "token create", "run delete".
    pub action: String,
    /// To what: an id or a name.
    pub subject: String,
    /// Why it was refused; `None`: it was done.
    pub refusal: Option<String>,
}

/// The entry for a command, if it belongs into the trail: what changes the cluster, or removes what others made.
pub(crate) fn entry(at_ms: u64, actor: &str, command: &Command, outcome: &Outcome) -> Option<AuditEntry> {
    let (action, subject) = match command {
        Command::SubmitRun(submission) | Command::SubmitShippedRun { submission, .. } => {
            ("run submit", submission.run.to_string())
        }
        Command::CancelRun { run, .. } => ("run cancel", run.to_string()),
        Command::ResumeRun { run, .. } => ("run resume", run.to_string()),
        Command::PauseRun { run } => ("run pause", run.to_string()),
        Command::WeighRun { run, weight } => ("run weight", format!("{run}: {weight}")),
        Command::RetryRun { run, .. } => ("run retry", run.to_string()),
        Command::DeleteRun { run } => ("run delete", run.to_string()),
        Command::CreateToken(token) => ("token create", format!("{} ({})", token.name, token.role.name())),
        Command::RevokeToken { token } => ("token revoke", uuid::Uuid::from_u128(token.0).to_string()),
        Command::ForgetNode { node } => ("member forget", node.to_string()),
        Command::DrainNode { node, drain: true } => ("member drain", node.to_string()),
        Command::DrainNode { node, drain: false } => ("member drain", format!("{node} (undone)")),
        Command::DeleteSession { session, .. } => ("session delete", session.to_string()),
        Command::ClearExecutions => ("execution clear", "all".to_owned()),
        Command::Audit { action, subject } => (action.as_str(), subject.clone()),
        Command::PutProgram(put) => ("program put", put.key.to_string()),
        Command::SetProgramStatus { key, status, .. } => ("program status", format!("{key}: {}", status.name())),
        Command::DeleteProgram { key, .. } => ("program delete", key.to_string()),
        Command::DeleteVariable { name, .. } => ("variable delete", name.to_string()),
        Command::Tick
        | Command::RecordResults { .. }
        | Command::RecordExecutions { .. }
        | Command::FailRun { .. }
        | Command::InterruptRuns { .. }
        | Command::AssignRun { .. }
        | Command::LeaseNode { .. }
        | Command::NameCluster { .. }
        | Command::AdmitNode { .. }
        | Command::CreateSession { .. }
        | Command::UpdateSession { .. }
        | Command::HouseSession { .. }
        | Command::WriteExecuted(_)
        // Who wrote them stands with them.
        | Command::RecordOptimization(_)
        | Command::SetVariable { .. } => return None,
    };
    let refusal = match outcome {
        Outcome::Rejected(rejection) => Some(cut(&rejection.to_string())),
        _ => None,
    };
    Some(AuditEntry { at_ms, actor: cut(actor), action: cut(action), subject: cut(&subject), refusal })
}

fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(TEXT_BYTES_MAX)].to_owned()
}
