//! Messages as they are: nothing is encoded here.

/// What `consensus/src/network/append.rs` encodes appends with.
pub(crate) mod wire {
    use std::io;

    use openraft::raft::{AppendEntriesRequest, StreamAppendResult};

    use crate::types::Types;

    pub(crate) fn encode_append(request: &AppendEntriesRequest<Types>) -> AppendEntriesRequest<Types> {
        request.clone()
    }

    #[expect(clippy::unnecessary_wraps, reason = "the original reads bytes")]
    pub(crate) fn decode_appended(reply: &StreamAppendResult<Types>) -> io::Result<StreamAppendResult<Types>> {
        Ok(reply.clone())
    }
}
