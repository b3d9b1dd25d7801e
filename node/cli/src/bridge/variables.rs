//! Requests about variables of the cluster. Values are JSON texts on the way, which nobody here reads.

use dspex_api::Client;
use dspex_api::v1::{
    self, DeleteVariableRequest, GetVariableRequest, ListVariablesRequest, SetVariableRequest, VariableHistoryRequest,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::messages::Failure;
use super::stored::Limits;

#[derive(Debug, Deserialize)]
pub(super) struct Set {
    name: String,
    value: String,
    expected_version: Option<u64>,
    #[serde(flatten)]
    limits: Limits,
}

#[derive(Debug, Deserialize)]
pub(super) struct Get {
    name: String,
    version: Option<u64>,
    #[serde(flatten)]
    limits: Limits,
}

#[derive(Debug, Deserialize)]
pub(super) struct Delete {
    name: String,
    expected_version: Option<u64>,
    #[serde(flatten)]
    limits: Limits,
}

#[derive(Debug, Deserialize)]
pub(super) struct List {
    #[serde(default)]
    after: String,
    #[serde(default)]
    limit: u32,
    #[serde(default)]
    prefix: String,
    #[serde(flatten)]
    limits: Limits,
}

#[derive(Debug, Deserialize)]
pub(super) struct History {
    name: String,
    #[serde(flatten)]
    limits: Limits,
}

pub(super) async fn set(client: &Client, set: Set) -> Result<Value, Failure> {
    let Set { name, value, expected_version, limits } = set;
    let request = SetVariableRequest { request_id: Some(limits.request_id()), name, expected_version, value };
    let written = limits.write(async || client.set_variable(request.clone()).await).await?;
    Ok(json!({"name": written.name, "version": written.version}))
}

pub(super) async fn get(client: &Client, get: Get) -> Result<Value, Failure> {
    let Get { name, version, limits } = get;
    let request = GetVariableRequest { name, version, freshness: limits.freshness()? };
    Ok(variable(&limits.read(client.variable(request)).await?))
}

pub(super) async fn delete(client: &Client, delete: Delete) -> Result<Value, Failure> {
    let Delete { name, expected_version, limits } = delete;
    let request = DeleteVariableRequest { request_id: Some(limits.request_id()), name, expected_version };
    limits.write(async || client.delete_variable(request.clone()).await).await?;
    Ok(json!({}))
}

pub(super) async fn list(client: &Client, list: List) -> Result<Value, Failure> {
    let List { after, limit, prefix, limits } = list;
    let request = ListVariablesRequest { after, limit, prefix, freshness: limits.freshness()? };
    let page = limits.read(client.list_variables(request)).await?;
    let items: Vec<Value> = page.items.iter().map(variable).collect();
    Ok(json!({"items": items, "total": page.total, "truncated": page.truncated}))
}

pub(super) async fn history(client: &Client, history: History) -> Result<Value, Failure> {
    let History { name, limits } = history;
    let request = VariableHistoryRequest { name, freshness: limits.freshness()? };
    let versions = limits.read(client.variable_history(request)).await?;
    Ok(json!({"items": versions.iter().map(variable).collect::<Vec<_>>()}))
}

fn variable(variable: &v1::Variable) -> Value {
    json!({
        "name": variable.name,
        "version": variable.version,
        "newest_version": variable.newest_version,
        "value": variable.value,
        "created_ms": variable.created_ms,
        "written_ms": variable.written_ms,
        "written_by": variable.written_by,
    })
}
