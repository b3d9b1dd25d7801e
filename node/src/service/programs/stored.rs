//! Definitions on their way into the log and out of it: long ones are blobs, stored before the log names them.

use dspex_api::{ApiError, Code, reason};
use dspex_model::{
    DEFINITION_BYTES_MAX, DEFINITION_INLINE_BYTES_MAX, DefinitionError, Digest, ProgramDefinition, Signature,
    SignatureError, TypeNames, check_definition,
};
use tokio::task::spawn_blocking;
use tonic::Status;

use super::super::errors::{internal, storage};
use super::super::{Node, errors};
use super::invalid;

/// What no worker could build is refused. `signature` says what a program of code takes and gives. Beside the runtime's threads:
/// megabytes of JSON take a while.
pub(super) async fn checked(definition: &str, signature: Option<&str>) -> Result<Option<Signature>, Status> {
    let (definition, signature) = (definition.to_owned(), signature.map(str::to_owned));
    let checking = spawn_blocking(move || check(&definition, signature.as_deref()));
    Ok(checking.await.map_err(internal)??)
}

fn check(definition: &str, signature: Option<&str>) -> Result<Option<Signature>, ApiError> {
    if definition.len() > DEFINITION_BYTES_MAX {
        let message = format!("the definition has {} bytes, the limit is {DEFINITION_BYTES_MAX}", definition.len());
        return Err(ApiError::new(Code::ResourceExhausted, reason::TOO_LARGE, message));
    }
    let own = check_definition(definition).map_err(|error| {
        let reason = match error {
            DefinitionError::Signature(_) => reason::SIGNATURE_INVALID,
            _ => reason::DEFINITION_INVALID,
        };
        ApiError::invalid(reason, error.to_string())
    })?;
    match (own, signature) {
        (Some(_), Some(_)) => Err(invalid("the definition has a signature of its own: leave the other one out")),
        (own, None) => Ok(own),
        (None, Some(given)) => of_code(given).map(Some),
    }
}

/// A text that is JSON is the structured form; "question -> answer" is none.
fn of_code(given: &str) -> Result<Signature, ApiError> {
    let read = match serde_json::from_str(given) {
        Ok(value) => Signature::of_value(&value, TypeNames::Any),
        Err(_) => Signature::of_text(given, TypeNames::Any),
    };
    read.map_err(|error: SignatureError| ApiError::invalid(reason::SIGNATURE_INVALID, error.to_string()))
}

impl Node {
    /// As the log will hold it. A long one is on a majority of the voters when this returns.
    pub(in crate::service) async fn store_definition(&self, definition: &str) -> Result<ProgramDefinition, Status> {
        let bytes = definition.len();
        if bytes <= DEFINITION_INLINE_BYTES_MAX {
            return Ok(ProgramDefinition::Inline(definition.to_owned()));
        }
        let (store, text) = (self.blobs.clone(), definition.to_owned());
        let digest = {
            let _kept = self.tree.keep_blobs().await;
            let put = spawn_blocking(move || store.put(text.as_bytes())).await;
            let digest = put.map_err(internal)?.map_err(|error| storage(&error))?;
            // For the proposal that will name it.
            self.tree.pin(digest);
            digest
        };
        self.consensus.spread(&[digest]).await.map_err(|error| errors::blob(&error))?;
        Ok(ProgramDefinition::Blob { digest, bytes: bytes as u64 })
    }

    /// A long definition, of this node or of another one.
    pub(in crate::service) async fn load_definition(&self, digest: Digest) -> Result<String, Status> {
        self.consensus.obtain([digest]).await.map_err(|error| errors::blob(&error))?;
        let store = self.blobs.clone();
        let read = spawn_blocking(move || store.get(&digest)).await;
        let found = read.map_err(internal)?.map_err(|error| storage(&error))?;
        let missing =
            || ApiError::not_found(reason::BLOB_NOT_FOUND, format!("the program's definition {digest} is not there"));
        String::from_utf8(found.ok_or_else(missing)?).map_err(internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_is_refused_with_the_reason_that_fits() {
        let reason_of = |definition: &str, signature| check(definition, signature).expect_err(definition).reason;
        assert_eq!(reason_of("{", None), reason::DEFINITION_INVALID);
        assert_eq!(reason_of(r#"{"signature": "q -> q"}"#, None), reason::SIGNATURE_INVALID);
        assert_eq!(reason_of(r#"{"program": "m:n"}"#, Some("q")), reason::SIGNATURE_INVALID);
        assert_eq!(reason_of(r#"{"signature": "q -> a"}"#, Some("q -> a")), reason::REQUEST_INVALID);
        assert_eq!(reason_of(&" ".repeat(DEFINITION_BYTES_MAX + 1), None), reason::TOO_LARGE);
    }

    #[test]
    fn what_code_takes_and_gives_may_be_said_in_either_form() {
        let text = |given| check(r#"{"program": "m:n"}"#, given).expect("fits").map(|signature| signature.text());
        assert_eq!(text(None), None);
        assert_eq!(text(Some("page: Page -> a")).as_deref(), Some("page: Page -> a"));
        let structured = r#"{"inputs": [{"name": "q"}], "outputs": [{"name": "a"}]}"#;
        assert_eq!(text(Some(structured)).as_deref(), Some("q: str -> a: str"));
        assert_eq!(text(Some("\"q -> a\"")).as_deref(), Some("q -> a"));
    }
}
