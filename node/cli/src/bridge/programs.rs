//! Requests about stored programs. Definitions and values are JSON texts on the way, which nobody here reads.

use std::collections::BTreeMap;

use dspex_api::Client;
use dspex_api::v1::{
    self, DeleteProgramRequest, GetProgramRequest, ListOptimizationsRequest, ListProgramsRequest,
    ProgramHistoryRequest, ProgramStatus, PutProgramRequest, RecordOptimizationRequest, SetProgramStatusRequest,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::messages::Failure;
use super::stored::Limits;
use crate::echo::quoted;
use crate::error::CommandError;

/// Under what a program is found.
#[derive(Debug, Deserialize)]
pub(super) struct Key {
    name: String,
    #[serde(default)]
    session: String,
    #[serde(flatten)]
    limits: Limits,
}

#[derive(Debug, Deserialize)]
pub(super) struct Put {
    #[serde(flatten)]
    key: Key,
    expected_version: Option<u64>,
    definition: Option<String>,
    signature: Option<String>,
    #[serde(default)]
    replace_variables: bool,
    #[serde(default)]
    removed: Vec<String>,
    #[serde(default)]
    set: BTreeMap<String, String>,
    #[serde(default)]
    note: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Get {
    #[serde(default)]
    name: String,
    #[serde(default)]
    session: String,
    #[serde(default)]
    or_global: bool,
    #[serde(default)]
    program_id: String,
    version: Option<u64>,
    #[serde(flatten)]
    limits: Limits,
}

#[derive(Debug, Deserialize)]
pub(super) struct Delete {
    #[serde(flatten)]
    key: Key,
    expected_version: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct List {
    #[serde(default)]
    session: String,
    #[serde(default)]
    after: String,
    #[serde(default)]
    limit: u32,
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    status: String,
    #[serde(flatten)]
    limits: Limits,
}

#[derive(Debug, Deserialize)]
pub(super) struct SetStatus {
    #[serde(flatten)]
    key: Key,
    expected_version: Option<u64>,
    status: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Record {
    #[serde(flatten)]
    key: Key,
    optimizer_type: String,
    parameters: String,
    performance_metrics: String,
    #[serde(default)]
    training_data_hash: String,
    program_version: u64,
}

pub(super) async fn put(client: &Client, put: Put) -> Result<Value, Failure> {
    let Put { key, expected_version, definition, signature, replace_variables, removed, set, note } = put;
    let request = PutProgramRequest {
        request_id: Some(key.limits.request_id()),
        name: key.name,
        session_id: key.session,
        expected_version,
        definition,
        signature,
        replace_variables,
        removed,
        set,
        note,
    };
    let written = key.limits.write(async || client.put_program(request.clone()).await).await?;
    Ok(of_written(&written))
}

pub(super) async fn get(client: &Client, get: Get) -> Result<Value, Failure> {
    let Get { name, session, or_global, program_id, version, limits } = get;
    let freshness = limits.freshness()?;
    let request = GetProgramRequest { name, session_id: session, or_global, program_id, version, freshness };
    Ok(program(&limits.read(client.program(request)).await?))
}

pub(super) async fn delete(client: &Client, delete: Delete) -> Result<Value, Failure> {
    let Delete { key, expected_version } = delete;
    let request = DeleteProgramRequest {
        request_id: Some(key.limits.request_id()),
        name: key.name,
        session_id: key.session,
        expected_version,
    };
    key.limits.write(async || client.delete_program(request.clone()).await).await?;
    Ok(json!({}))
}

pub(super) async fn list(client: &Client, list: List) -> Result<Value, Failure> {
    let List { session, after, limit, prefix, status, limits } = list;
    let freshness = limits.freshness()?;
    let status = if status.is_empty() { ProgramStatus::Unspecified } else { status_of(&status)? }.into();
    let request = ListProgramsRequest { session_id: session, after, limit, prefix, status, freshness };
    let page = limits.read(client.list_programs(request)).await?;
    let items: Vec<Value> = page.items.iter().map(program).collect();
    Ok(json!({"items": items, "total": page.total, "truncated": page.truncated}))
}

pub(super) async fn history(client: &Client, key: Key) -> Result<Value, Failure> {
    let freshness = key.limits.freshness()?;
    let request = ProgramHistoryRequest { name: key.name, session_id: key.session, freshness };
    let versions = key.limits.read(client.program_history(request)).await?;
    let items: Vec<Value> = versions
        .iter()
        .map(|version| {
            json!({
                "version": version.version,
                "definition": version.definition,
                "definition_digest": version.definition_digest,
                "signature": signature(version.signature.as_ref()),
                "variables": version.variables,
                "written_ms": version.written_ms,
                "written_by": version.written_by,
                "note": version.note,
            })
        })
        .collect();
    Ok(json!({"items": items}))
}

pub(super) async fn set_status(client: &Client, set: SetStatus) -> Result<Value, Failure> {
    let SetStatus { key, expected_version, status } = set;
    let request = SetProgramStatusRequest {
        request_id: Some(key.limits.request_id()),
        name: key.name,
        session_id: key.session,
        expected_version,
        status: status_of(&status)?.into(),
    };
    let written = key.limits.write(async || client.set_program_status(request.clone()).await).await?;
    Ok(of_written(&written))
}

pub(super) async fn record_optimization(client: &Client, record: Record) -> Result<Value, Failure> {
    let Record { key, optimizer_type, parameters, performance_metrics, training_data_hash, program_version } = record;
    let request = RecordOptimizationRequest {
        request_id: Some(key.limits.request_id()),
        name: key.name,
        session_id: key.session,
        optimizer_type,
        parameters,
        performance_metrics,
        training_data_hash,
        program_version,
    };
    let recorded = key.limits.write(async || client.record_optimization(request.clone()).await).await?;
    Ok(json!({"optimization_id": recorded.optimization_id, "number": recorded.number}))
}

pub(super) async fn list_optimizations(client: &Client, key: Key) -> Result<Value, Failure> {
    let freshness = key.limits.freshness()?;
    let request = ListOptimizationsRequest { name: key.name, session_id: key.session, freshness };
    let recorded = key.limits.read(client.list_optimizations(request)).await?;
    let items: Vec<Value> = recorded
        .iter()
        .map(|one| {
            json!({
                "optimization_id": one.optimization_id,
                "number": one.number,
                "optimizer_type": one.optimizer_type,
                "parameters": one.parameters,
                "performance_metrics": one.performance_metrics,
                "training_data_hash": one.training_data_hash,
                "program_version": one.program_version,
                "created_ms": one.created_ms,
                "recorded_by": one.recorded_by,
            })
        })
        .collect();
    Ok(json!({"items": items}))
}

fn program(program: &v1::Program) -> Value {
    json!({
        "program_id": program.program_id,
        "name": program.name,
        "session": program.session_id,
        "status": status_name(program.status),
        "version": program.version,
        "newest_version": program.newest_version,
        "definition": program.definition,
        "definition_digest": program.definition_digest,
        "signature": signature(program.signature.as_ref()),
        "variables": program.variables,
        "created_ms": program.created_ms,
        "updated_ms": program.updated_ms,
        "written_ms": program.written_ms,
        "written_by": program.written_by,
        "note": program.note,
    })
}

fn of_written(written: &v1::ProgramWritten) -> Value {
    json!({
        "program_id": written.program_id,
        "name": written.name,
        "session": written.session_id,
        "version": written.version,
    })
}

fn signature(signature: Option<&v1::Signature>) -> Value {
    let Some(signature) = signature else { return Value::Null };
    let side = |fields: &[v1::SignatureField]| {
        fields.iter().map(|field| json!({"name": field.name, "type": field.r#type})).collect::<Vec<_>>()
    };
    json!({"inputs": side(&signature.inputs), "outputs": side(&signature.outputs)})
}

const STATUS: [(&str, ProgramStatus); 3] =
    [("draft", ProgramStatus::Draft), ("ready", ProgramStatus::Ready), ("deprecated", ProgramStatus::Deprecated)];

fn status_of(word: &str) -> Result<ProgramStatus, Failure> {
    let known = STATUS.iter().find(|(name, _)| *name == word).map(|(_, status)| *status);
    let refused =
        || Failure::Own(CommandError::usage(format!("status is draft, ready or deprecated, not {}", quoted(word))));
    known.ok_or_else(refused)
}

/// One that a newer node knows has no word here.
fn status_name(status: i32) -> &'static str {
    let known = ProgramStatus::try_from(status).ok();
    STATUS.iter().find(|(_, one)| Some(*one) == known).map_or("", |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_says_as_much_as_it_has_to() {
        let put: Put =
            serde_json::from_value(json!({"name": "qa", "definition": "{}", "timeout_ms": 5})).expect("a request");
        assert_eq!((put.key.name.as_str(), put.key.session.as_str(), put.set.len()), ("qa", "", 0));
        let get: Get = serde_json::from_value(json!({"program_id": "x"})).expect("a request");
        assert_eq!((get.name.as_str(), get.version, get.or_global), ("", None, false));
    }

    #[test]
    fn every_status_goes_both_ways() {
        for (word, status) in STATUS {
            assert_eq!(status_name(status.into()), word);
            assert_eq!(status_of(word).expect("known"), status);
        }
        assert!(status_of("done").is_err());
        assert_eq!(status_name(99), "");
    }
}
