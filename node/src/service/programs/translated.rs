//! From the model's programs to the contract's.

use dspex_api::{ApiError, reason, v1};
use dspex_model::{
    Digest, Optimization, Program, ProgramDefinition, ProgramId, ProgramKey, ProgramStatus, ProgramVersion, Signature,
    SignatureField,
};

use super::super::sessions;
use super::invalid;

/// A program as it is shown, but for a long definition, which is not in the state.
pub(super) struct Shown {
    pub(super) program: v1::Program,
    pub(super) large: Option<Digest>,
}

impl Shown {
    /// At the newest version, or at this one.
    pub(super) fn of((id, held): (ProgramId, &Program), number: Option<u64>) -> Result<Self, ApiError> {
        let number = number.unwrap_or(held.info.version);
        let version = held.version(number).ok_or_else(|| {
            let (key, oldest, newest) = (&held.info.key, held.oldest_version().unwrap_or_default(), held.info.version);
            let message = format!("program {key} has the versions {oldest} to {newest}, not {number}");
            ApiError::not_found(reason::PROGRAM_VERSION_NOT_FOUND, message)
        })?;
        let shown = self::version((number, version));
        let program = v1::Program {
            version: number,
            definition: shown.definition,
            definition_digest: shown.definition_digest,
            variables: shown.variables,
            ..outline(id, held, version)
        };
        Ok(Self { program, large: version.definition.blob() })
    }
}

/// A program in a list.
pub(super) fn listed((id, held): (ProgramId, &Program)) -> v1::Program {
    match held.newest() {
        Some(newest) => outline(id, held, newest),
        None => v1::Program { program_id: id.to_string(), ..v1::Program::default() },
    }
}

fn outline(id: ProgramId, held: &Program, version: &ProgramVersion) -> v1::Program {
    let info = &held.info;
    v1::Program {
        program_id: id.to_string(),
        name: info.key.name.to_string(),
        session_id: session(&info.key),
        status: status(info.status).into(),
        version: info.version,
        newest_version: info.version,
        signature: version.signature.as_ref().map(signature),
        created_ms: info.created_ms,
        updated_ms: info.updated_ms,
        written_ms: version.written_ms,
        written_by: version.written_by.clone(),
        note: version.note.clone(),
        ..v1::Program::default()
    }
}

pub(super) fn version((number, version): (u64, &ProgramVersion)) -> v1::ProgramVersion {
    let (definition, definition_digest) = match &version.definition {
        ProgramDefinition::Inline(text) => (text.clone(), String::new()),
        ProgramDefinition::Blob { digest, .. } => (String::new(), digest.to_string()),
    };
    v1::ProgramVersion {
        version: number,
        definition,
        definition_digest,
        signature: version.signature.as_ref().map(signature),
        variables: sessions::values(&version.variables),
        written_ms: version.written_ms,
        written_by: version.written_by.clone(),
        note: version.note.clone(),
    }
}

pub(super) fn optimization((number, optimization): (u64, &Optimization)) -> v1::Optimization {
    v1::Optimization {
        optimization_id: optimization.id.to_string(),
        number,
        optimizer_type: optimization.optimizer_type.clone(),
        parameters: optimization.parameters.clone(),
        performance_metrics: optimization.performance_metrics.clone(),
        training_data_hash: optimization.training_data.map(|digest| digest.to_string()).unwrap_or_default(),
        program_version: optimization.program_version,
        created_ms: optimization.created_ms,
        recorded_by: optimization.recorded_by.clone(),
    }
}

/// Empty: everybody's.
pub(super) fn session(key: &ProgramKey) -> String {
    key.session.as_ref().map(ToString::to_string).unwrap_or_default()
}

fn signature(signature: &Signature) -> v1::Signature {
    let field =
        |field: &SignatureField| v1::SignatureField { name: field.name.clone(), r#type: field.annotation.clone() };
    v1::Signature {
        inputs: signature.inputs.iter().map(field).collect(),
        outputs: signature.outputs.iter().map(field).collect(),
    }
}

fn status(status: ProgramStatus) -> v1::ProgramStatus {
    match status {
        ProgramStatus::Draft => v1::ProgramStatus::Draft,
        ProgramStatus::Ready => v1::ProgramStatus::Ready,
        ProgramStatus::Deprecated => v1::ProgramStatus::Deprecated,
    }
}

/// `None`: none was named.
pub(super) fn wanted_status(wanted: i32) -> Result<Option<ProgramStatus>, ApiError> {
    match v1::ProgramStatus::try_from(wanted) {
        Ok(v1::ProgramStatus::Unspecified) => Ok(None),
        Ok(known) => Ok(ProgramStatus::ALL.into_iter().find(|one| status(*one) == known)),
        Err(_) => Err(invalid(format!("status {wanted} is unknown here"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_goes_both_ways() {
        for known in ProgramStatus::ALL {
            assert_eq!(wanted_status(status(known).into()).expect("known"), Some(known));
        }
        assert_eq!(wanted_status(0).expect("none"), None);
        assert!(wanted_status(99).is_err_and(|error| error.message.contains("unknown here")));
    }
}
