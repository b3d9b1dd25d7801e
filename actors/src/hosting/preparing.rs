//! What workers of another node's run start from, on this node.

use std::sync::Arc;

use bytes::Bytes;
use dspex_model::{Employment, RunSpec, Shipped};

use crate::context::NodeContext;
use crate::error::{SubmitError, SubmitErrorKind};
use crate::evaluation::Rows;
use crate::payload;
use crate::preparation::place;
use crate::submission::Caller;

/// The run as this node has it.
pub(super) struct Prepared {
    pub spec: RunSpec,
    pub generation: u64,
    pub caller: Arc<Caller>,
    pub payload: Option<Bytes>,
    pub rows: Rows,
}

/// Gets the blobs here, unpacks the project and finds an environment that agrees.
pub(super) async fn prepare(context: &NodeContext, employment: &Employment) -> Result<Prepared, SubmitError> {
    let parts = &context.parts;
    let shipped: Shipped = employment.shipped.clone();
    let spec = RunSpec { shipped: Some(Box::new(shipped)), ..employment.spec.clone() };
    let Some(own) = parts.pools.own.as_deref() else {
        return Err(SubmitError::new(SubmitErrorKind::Argument, "an embedded node executes for nobody else"));
    };
    parts.consensus.obtain(spec.blobs()).await?;
    let rows = Rows::read(&parts.blobs, &spec.dataset).await?;
    let payload = payload::read(&parts.blobs, &spec.program).await?;
    let caller = own.clone().admitted(Some(own), &spec.environment);
    let caller = place::stored(context, caller, &employment.shipped).await?;
    Ok(Prepared { spec, generation: employment.generation, caller: Arc::new(caller), payload, rows })
}
