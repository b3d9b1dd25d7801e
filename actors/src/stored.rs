//! Programs of the store that calls name: what one is made of goes with the call, and its inputs are held against its signature
//! first.
//!
//! A worker knows such a program under its id and version, so what is stored meanwhile changes no call that is under way.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use dspex_model::{
    Digest, InputsError, Name, ProgramDefinition, ProgramId, SessionData, SessionId, Signature, State, check_inputs,
};
use futures::future::Either;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::task::spawn_blocking;

use crate::context::NodeContext;
use crate::executions::CalledBy;
use crate::pool::{CallError, CallProgram, CallReply, CallRequest, EXECUTE_PROGRAM, Pool};
use crate::values::as_json;

/// Longer arguments are read beside the runtime's threads.
const SHORT: usize = 64 * 1024;

/// Calls a pool; where the call executes a program, with the one of the store. A call of anything else has its place in the queue
/// when this returns.
pub(crate) fn call(
    context: &Arc<NodeContext>,
    pool: &Pool,
    request: CallRequest,
    by: CalledBy,
) -> impl Future<Output = Result<CallReply, CallError>> + Send + use<> {
    if request.command == EXECUTE_PROGRAM {
        Either::Left(execute(Arc::clone(context), pool.clone(), request, by))
    } else {
        Either::Right(pool.begin_recorded(request, by))
    }
}

/// Programs that only the pool knows need no log: it is read where this node has heard of one that is stored, or where the pool has
/// none.
async fn execute(
    context: Arc<NodeContext>,
    pool: Pool,
    request: CallRequest,
    by: CalledBy,
) -> Result<CallReply, CallError> {
    let Some(named) = Named::in_arguments(&request).await else { return pool.begin_recorded(request, by).await };
    let consensus = &context.parts.consensus;
    let mut answer = None;
    if consensus.read_stale(|state| named.find(state, None).is_none()) {
        let refusal = match pool.begin_recorded(request.clone(), by.clone()).await {
            Err(refusal @ CallError::NotDefined(_)) => refusal,
            answered => return answered,
        };
        answer = Some(refusal);
    }
    let found = consensus.read(|state| named.find(state, None)).await;
    match (found.map_err(|error| CallError::Read(Arc::new(error)))?, answer) {
        (Some(stored), _) => pool.begin_recorded(named.complete(&context, stored, request).await?, by).await,
        (None, Some(refusal)) => Err(refusal),
        (None, None) => pool.begin_recorded(request, by).await,
    }
}

/// A call that may mean a program of the store.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    name: Name,
    inputs: Option<Box<RawValue>>,
}

/// The same with the program that the worker is to take.
#[derive(Serialize)]
struct Told<'a> {
    program_id: &'a str,
    inputs: &'a Option<Box<RawValue>>,
    stored: &'a str,
    /// Those of the version, which its code finds.
    #[serde(skip_serializing_if = "Option::is_none")]
    variables: Option<&'a RawValue>,
}

/// A program as it stands in the store.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    id: ProgramId,
    version: u64,
    definition: ProgramDefinition,
    signature: Option<Signature>,
    variables: SessionData,
}

impl Named {
    /// `None`: it is a call of something else, or none that a worker understands: that says why.
    pub(crate) async fn of(request: &CallRequest) -> Option<Self> {
        if request.command == EXECUTE_PROGRAM { Self::in_arguments(request).await } else { None }
    }

    async fn in_arguments(request: &CallRequest) -> Option<Self> {
        let arguments = request.arguments.clone();
        if arguments.len() <= SHORT {
            return read(&arguments);
        }
        spawn_blocking(move || read(&arguments)).await.ok()?
    }

    /// The session's own program of this name, else the one of all.
    pub(crate) fn find(&self, state: &State, session: Option<&SessionId>) -> Option<Stored> {
        let (id, program) = state.program_for(session, &self.name)?;
        let newest = program.newest()?;
        let (definition, signature) = (newest.definition.clone(), newest.signature.clone());
        let variables = newest.variables.clone();
        Some(Stored { id, version: program.info.version, definition, signature, variables })
    }

    /// The call, with all that a worker needs for it.
    ///
    /// # Errors
    /// The inputs do not fit the program, or what it is made of is not to be had.
    pub(crate) async fn complete(
        self,
        context: &Arc<NodeContext>,
        stored: Stored,
        mut request: CallRequest,
    ) -> Result<CallRequest, CallError> {
        let Stored { id, version, definition, signature, variables } = stored;
        let name = format!("{id}@{version}");
        let body = match definition {
            ProgramDefinition::Inline(text) => Bytes::from(text),
            ProgramDefinition::Blob { digest, .. } => load(context, digest, &self.name).await?,
        };
        let arguments = if request.arguments.len() <= SHORT {
            self.checked(signature.as_ref(), &name, &variables)
        } else {
            let name = name.clone();
            let checking = spawn_blocking(move || self.checked(signature.as_ref(), &name, &variables));
            checking.await.map_err(|_| CallError::Stopping)?
        };
        request.arguments = arguments?;
        request.program = Some(CallProgram { id, version, name: format!("stored program {name}"), body });
        Ok(request)
    }

    /// What the worker is told, where the program takes it.
    fn checked(
        &self,
        signature: Option<&Signature>,
        stored: &str,
        variables: &SessionData,
    ) -> Result<Bytes, CallError> {
        if let Some(signature) = signature {
            let inputs = self.inputs.as_ref().map_or("{}", |inputs| inputs.get());
            check_inputs(signature, inputs).map_err(|error| self.refused(&error))?;
        }
        // Read from JSON, they have a JSON form.
        let variables = (variables.values().len() > 0).then(|| RawValue::from_string(as_json(variables)));
        let variables = variables.transpose().map_err(|_| CallError::Stopping)?;
        let told =
            Told { program_id: self.name.as_str(), inputs: &self.inputs, stored, variables: variables.as_deref() };
        serde_json::to_vec(&told).map(Bytes::from).map_err(|_| CallError::Stopping)
    }

    fn refused(&self, error: &InputsError) -> CallError {
        CallError::Inputs { program: self.name.to_string(), why: error.to_string() }
    }
}

fn read(arguments: &[u8]) -> Option<Named> {
    // A name that an object has twice has its last value, as in Python: the worker and the record of executions read it so.
    let mut given: BTreeMap<String, &RawValue> = serde_json::from_slice(arguments).ok()?;
    let program: String = serde_json::from_str(given.remove("program_id")?.get()).ok()?;
    let inputs = given.remove("inputs").filter(|inputs| inputs.get() != "null").map(ToOwned::to_owned);
    if !given.is_empty() {
        return None;
    }
    Some(Named { name: Name::new(&program).ok()?, inputs })
}

async fn load(context: &Arc<NodeContext>, digest: Digest, name: &Name) -> Result<Bytes, CallError> {
    let missing = |why: String| CallError::ProgramMissing { program: name.to_string(), why };
    context.parts.consensus.obtain([digest]).await.map_err(|error| missing(error.to_string()))?;
    let blobs = context.parts.blobs.clone();
    let read = spawn_blocking(move || blobs.get(&digest)).await.map_err(|_| CallError::Stopping)?;
    let found = read.map_err(|error| missing(error.to_string()))?;
    found.map(Bytes::from).ok_or_else(|| missing(format!("the blob {digest} is not there")))
}

#[cfg(test)]
mod tests {
    use dspex_model::TypeNames;

    use super::*;

    fn named(arguments: &str) -> Option<Named> {
        read(arguments.as_bytes())
    }

    #[test]
    fn what_a_worker_would_refuse_is_left_to_it() {
        assert!(named(r#"{"program_id": "qa"}"#).is_some());
        for other in ["", "[]", r#"{"program_id": 5}"#, r#"{"program_id": "a/b"}"#, r#"{"program_id": "qa", "x": 1}"#] {
            assert!(named(other).is_none(), "{other}");
        }
    }

    #[test]
    fn a_name_that_is_given_twice_is_read_as_a_worker_reads_it() {
        let twice = named(r#"{"program_id": "old", "inputs": {"a": 1}, "program_id": "qa", "inputs": {"a": 2}}"#);
        let told = twice.expect("named").checked(None, "id@1", &SessionData::default()).expect("no signature");
        assert_eq!(told, r#"{"program_id":"qa","inputs":{"a": 2},"stored":"id@1"}"#);
    }

    #[test]
    fn inputs_go_to_the_worker_as_they_came() {
        let given = named(r#"{"program_id": "qa", "inputs": {"b": 1.50, "a": [12345678901234567890123]}}"#);
        let told = given.expect("named").checked(None, "id@3", &SessionData::default()).expect("no signature");
        let expected = r#"{"program_id":"qa","inputs":{"b": 1.50, "a": [12345678901234567890123]},"stored":"id@3"}"#;
        assert_eq!(told, expected);
    }

    #[test]
    fn the_variables_of_the_version_go_with_the_call() {
        let given = named(r#"{"program_id": "qa"}"#).expect("named");
        let text = str::to_owned;
        let variables = SessionData::new([(text("t"), text("1.50")), (text("a \"b\""), text(r#"{"c":[null]}"#))]);
        let told = given.checked(None, "id@3", &variables).expect("no signature");
        let expected =
            r#"{"program_id":"qa","inputs":null,"stored":"id@3","variables":{"a \"b\"":{"c":[null]},"t":1.50}}"#;
        assert_eq!(told, expected);
    }

    #[test]
    fn inputs_that_the_signature_does_not_have_are_refused_by_name() {
        let signature = Signature::of_text("question, k: int -> answer", TypeNames::Any).expect("a signature");
        let refusal = |inputs: &str| {
            let given = named(&format!(r#"{{"program_id": "qa", "inputs": {inputs}}}"#)).expect("named");
            given.checked(Some(&signature), "id@1", &SessionData::default()).err().map(|error| error.to_string())
        };
        assert_eq!(refusal(r#"{"question": "?", "k": 2}"#), None);
        let wrong = [
            (r#"{"question": "?"}"#, "without k"),
            (r#"{"question": "?", "k": 2, "hint": 1}"#, "unknown hint"),
            (r#"{"question": "?", "k": "two"}"#, "k"),
            ("null", "without question, k"),
            ("[]", "object"),
        ];
        for (inputs, says) in wrong {
            let message = refusal(inputs).unwrap_or_default();
            assert!(message.contains(says) && message.contains("qa"), "{inputs}: {message}");
        }
    }
}
