//! Executions, which no state holds in memory: they are looked for on the disk, beside everything else.

use std::collections::HashSet;
use std::io;

use dspex_model::{
    CodecError, ColdRecords, Digest, ExecutionId, ExecutionPage, ExecutionQuery, Order, RecordedExecution, Visit,
    execution_blobs, execution_page, find_execution, named_blobs, next_execution,
};
use dspex_storage::StateView;
use tokio::task::spawn_blocking;

use crate::consensus::{Consensus, Freshness};
use crate::error::ExecutionsError;

/// Names of blobs that are read at once.
const NAMES_AT_ONCE: usize = 4096;

impl Consensus {
    /// A page of executions, newest first, as fresh as is asked for.
    ///
    /// # Errors
    /// When no leader confirms it in time, or the records cannot be read.
    pub async fn executions(
        &self,
        query: ExecutionQuery,
        freshness: Freshness,
    ) -> Result<ExecutionPage, ExecutionsError> {
        self.look(freshness, move |records| execution_page(records, &query)).await
    }

    /// The execution with this id, and its number.
    ///
    /// # Errors
    /// As of [`executions`](Self::executions).
    pub async fn execution(
        &self,
        id: ExecutionId,
        freshness: Freshness,
    ) -> Result<Option<(u64, RecordedExecution)>, ExecutionsError> {
        self.look(freshness, move |records| find_execution(records, id)).await
    }

    /// Takes the blobs away that executions from a number on refer to, as this node knows them. Gives the others, and the number
    /// that the next execution has: what was not looked at yet.
    ///
    /// # Errors
    /// When the records cannot be read.
    pub async fn unnamed(
        &self,
        mut blobs: HashSet<Digest>,
        from: u64,
    ) -> Result<(HashSet<Digest>, u64), ExecutionsError> {
        self.look(Freshness::Stale, move |records| {
            let candidates: Vec<Digest> = blobs.iter().copied().collect();
            for digest in named_blobs(records, &candidates, from)? {
                blobs.remove(&digest);
            }
            Ok((blobs, next_execution(records)?))
        })
        .await
    }

    /// Some blobs that executions from a number on refer to, as this node knows them. None: there are no more.
    pub(crate) async fn named_by_executions(&self, from: u64) -> Result<Vec<(u64, Digest)>, ExecutionsError> {
        self.look(Freshness::Stale, move |records| execution_blobs(records, from, NAMES_AT_ONCE)).await
    }

    /// Looks at the disk, which has what the state has when it is as fresh as is asked for.
    async fn look<R: Send + 'static>(
        &self,
        freshness: Freshness,
        look: impl FnOnce(&Records<'_>) -> Result<R, Unreadable> + Send + 'static,
    ) -> Result<R, ExecutionsError> {
        self.read_at(freshness, |_| ()).await?;
        let store = self.state_store().clone();
        let looked = spawn_blocking(move || store.view(|view| look(&Records(view)))).await.map_err(io::Error::other)?;
        looked.map_err(|Unreadable(error)| ExecutionsError::Storage(error))
    }
}

/// The records of the state store at one moment.
struct Records<'a>(&'a StateView<'a>);

/// Why they cannot be read.
struct Unreadable(io::Error);

impl From<CodecError> for Unreadable {
    fn from(error: CodecError) -> Self {
        Self(io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
    }
}

impl ColdRecords for Records<'_> {
    type Error = Unreadable;

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Unreadable> {
        self.0.get(key).map_err(Unreadable)
    }

    fn scan(&self, from: &[u8], to: &[u8], order: Order, visit: &mut Visit<'_>) -> Result<(), Unreadable> {
        self.0.scan(from, to, order, visit).map_err(Unreadable)
    }
}
