//! The reasons of `google.rpc.ErrorInfo`: what went wrong, for programs. A reason is never renamed or reused.

/// Declares each reason as a constant whose value is its own name, and the list of all of them.
macro_rules! reasons {
    ($($(#[doc = $text:literal])+ $name:ident;)+) => {
        $($(#[doc = $text])+ pub const $name: &str = stringify!($name);)+
        /// Every reason, for documentation and tests.
        pub const ALL: &[&str] = &[$($name),+];
    };
}

reasons! {
    /// The file or module of PROGRAM does not exist.
    PROGRAM_MISSING;
    /// The file or module has no such name.
    NAME_MISSING;
    /// The name is not a `dspy.Module`, nor anything that yields one.
    NOT_A_PROGRAM;
    /// The program's code raised while it was imported or built, or ended its process then (no metadata).
    PROGRAM_RAISED;
    /// The file calls an LM, evaluates or compiles while it is imported.
    EVALUATES_AT_IMPORT;
    /// METRIC does not exist.
    METRIC_MISSING;
    /// METRIC is neither callable nor a Module, or raised while it was loaded.
    METRIC_INVALID;
    /// LM is `path.py:name` and does not exist.
    LM_MISSING;
    /// LM or its settings are not accepted by DSPy.
    LM_INVALID;
    /// The dataset's file or name does not exist.
    DATASET_MISSING;
    /// The dataset cannot be read, or a row is longer than 16 MiB.
    DATASET_INVALID;
    /// The dataset has no example.
    DATASET_EMPTY;
    /// A column that the program takes as an input is missing.
    INPUTS_MISSING;
    /// The file of `--load` does not exist.
    STATE_MISSING;
    /// The file of `--load` does not fit the program.
    STATE_INVALID;
    /// No Python interpreter was found, or the one named does not exist.
    PYTHON_MISSING;
    /// The interpreter's version is not supported.
    PYTHON_UNSUPPORTED;
    /// The interpreter has no dspy.
    DSPY_MISSING;
    /// The interpreter's dspy has a version that is not supported.
    DSPY_UNSUPPORTED;
    /// A package that workers need besides dspy is missing.
    DEPENDENCY_MISSING;
    /// Importing dspy itself failed.
    DSPY_BROKEN;
    /// The machine gave no Python process, or not in time: try again when it has less to do.
    PYTHON_UNAVAILABLE;
    /// A node's workers are to be sandboxed, and its machine lacks something for it: an operator mends that.
    SANDBOX_UNAVAILABLE;
    /// No run has this id.
    RUN_NOT_FOUND;
    /// Several runs start with these characters.
    RUN_AMBIGUOUS;
    /// The run has ended: nothing to cancel, pause, weigh or resume.
    RUN_ENDED;
    /// The run executes: cancel it first.
    RUN_RUNNING;
    /// No example of the run has failed: there is nothing to retry.
    NOTHING_FAILED;
    /// The sources differ from those that the run started with.
    SOURCES_CHANGED;
    /// No unfinished run has an equal specification.
    NO_RUN_TO_RESUME;
    /// No blob has this digest.
    BLOB_NOT_FOUND;
    /// Workers or runs are at their limit, or a pool's queue is: wait.
    POOL_FULL;
    /// There is no pool of this name.
    POOL_NOT_FOUND;
    /// The node does not know this pool id, or no longer: open the pool again.
    POOL_NOT_OPEN;
    /// Every worker of the pool is drained: an operator brings one back with `dspex worker restart`.
    POOL_DRAINED;
    /// No worker of the pool was free in time.
    QUEUE_TIMEOUT;
    /// The call ran longer than it may; its worker was ended.
    CALL_TIMED_OUT;
    /// The command raised (metadata: type, traceback, file, line).
    CALL_FAILED;
    /// The worker died, and the call may not run again.
    WORKER_LOST;
    /// No worker has this id.
    WORKER_NOT_FOUND;
    /// Nothing is defined under the name that the call gives: a command or a program.
    NOT_DEFINED;
    /// The payload of a program was not uploaded.
    PAYLOAD_MISSING;
    /// The call carries no token, or one that the node does not know.
    UNAUTHENTICATED;
    /// The token's role does not allow it.
    PERMISSION_DENIED;
    /// TLS with the node does not come about: its certificate is not accepted, or only one end speaks TLS.
    TLS_REFUSED;
    /// No session has this id, or its time was over.
    SESSION_NOT_FOUND;
    /// The execution is not recorded, or not kept any more.
    EXECUTION_NOT_FOUND;
    /// The session's version is not kept any more, or not there yet.
    SESSION_VERSION_NOT_FOUND;
    /// A session with this id exists (metadata: current, its version).
    SESSION_EXISTS;
    /// The session, program or variable is at another version (metadata: current): read it again, then repeat the change.
    VERSION_CONFLICT;
    /// The session's home has changed and changed again: nothing of the call counts, try again.
    SESSION_MOVED;
    /// No program of this name is stored there.
    PROGRAM_UNKNOWN;
    /// The program's version is not kept any more, or not there yet.
    PROGRAM_VERSION_NOT_FOUND;
    /// No worker could build what is to be stored as a program, or it holds a secret.
    DEFINITION_INVALID;
    /// Names or types of inputs and outputs are wrong; the message names the field.
    SIGNATURE_INVALID;
    /// The inputs of a call do not fit the signature of the stored program; the message names the fields.
    PROGRAM_INPUTS_INVALID;
    /// A name is empty, too long, holds what is not printed, or could be taken for another one or for a path.
    NAME_INVALID;
    /// No variable has this name.
    VARIABLE_NOT_FOUND;
    /// The variable's version is not kept any more, or not there yet.
    VARIABLE_VERSION_NOT_FOUND;
    /// The request id is older than 15 minutes: whether it was executed cannot be said any more.
    REQUEST_TOO_OLD;
    /// No quorum has a leader: nothing was executed, try again.
    NO_LEADER;
    /// The write was begun and its outcome is not known: repeat it under the same request id.
    OUTCOME_UNKNOWN;
    /// The node has not applied what the read has to see: read at another node.
    NODE_BEHIND;
    /// No member has this id or name.
    MEMBER_NOT_FOUND;
    /// Several members have this name.
    MEMBER_AMBIGUOUS;
    /// The members cannot be changed as asked.
    MEMBER_CHANGE_REFUSED;
    /// Without this member the rest would have no quorum: bring the others back first, or force it.
    QUORUM_AT_RISK;
    /// No token has this id or name.
    TOKEN_NOT_FOUND;
    /// Several tokens have this name: use the id.
    TOKEN_AMBIGUOUS;
    /// A snapshot is being saved on this node already: try again when that has ended, or at another node.
    SNAPSHOT_BUSY;
    /// The snapshot's file is damaged, cut short, or none.
    SNAPSHOT_DAMAGED;
    /// The snapshot's file was written by a newer version.
    SNAPSHOT_NEWER;
    /// The bundle was not uploaded, or is not kept: send it again.
    BUNDLE_MISSING;
    /// The bundle is none, or holds what no bundle may hold: a link out of the project, for instance.
    BUNDLE_INVALID;
    /// The project cannot be packed: too many files, a link out of it, a file outside of it.
    PROJECT_INVALID;
    /// What was to be sent contains the value of a secret of the caller's environment, or what was to be stored is one by its name.
    SECRET_FOUND;
    /// The node has no environment of this name.
    ENVIRONMENT_NOT_FOUND;
    /// No environment of the node agrees with what the program needs.
    ENVIRONMENT_MISMATCH;
    /// A value exceeds its limit.
    TOO_LARGE;
    /// The disk is full.
    STORAGE_FULL;
    /// The disk or the database fails.
    STORAGE_FAILED;
    /// Another process holds the data directory.
    DATA_DIRECTORY_LOCKED;
    /// The data directory cannot be written.
    DATA_DIRECTORY_READ_ONLY;
    /// The data directory is damaged.
    DATA_DIRECTORY_CORRUPT;
    /// The data directory was written by a newer version.
    DATA_DIRECTORY_NEWER;
    /// The data directory holds something already: a restore makes a new one.
    DATA_DIRECTORY_NOT_EMPTY;
    /// The data directory is being made of a snapshot, or that was cut short: repeat the restore.
    DATA_DIRECTORY_HALF_RESTORED;
    /// A request lacks a field or carries a bad one.
    REQUEST_INVALID;
    /// The node is stopping.
    NODE_STOPPING;
    /// The node drains and takes nothing new: ask another one.
    NODE_DRAINING;
    /// No node answers at the address.
    NODE_UNREACHABLE;
    /// The node did not answer in time, or its log is busy: try again.
    NODE_TIMED_OUT;
    /// The embedded node could not be started.
    NODE_START_FAILED;
    /// The embedded node has another version than this program.
    NODE_VERSION_DIFFERS;
    /// The node only executes, and has no state to answer from: ask one that votes.
    NODE_HAS_NO_VOTE;
    /// A defect of DSPex.
    INTERNAL;
}

#[cfg(test)]
mod tests {
    #[test]
    fn reasons_are_distinct_and_screaming_snake() {
        let mut seen = std::collections::BTreeSet::new();
        for reason in super::ALL {
            assert!(seen.insert(reason), "{reason} twice");
            assert!(reason.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'), "{reason}");
        }
    }
}
