//! A cluster with commands to call in sessions.

use dspex_api::ApiError;
use dspex_api::v1::{ExecuteSessionRequest, ExecuteSessionResponse, GetSessionRequest, RequestId, Session};
use dspex_tests::{Cluster, Project};
use serde_json::Value;
use uuid::Uuid;

/// Their state is in the session, and what shows where they run in their results.
pub const COMMANDS: &str = r#"
import os
import time

import dspex


def count(by=1):
    data = dspex.current_session().data
    data["n"] = data.get("n", 0) + by
    return data["n"]


def look(session_id):
    session = dspex.current_session()
    return {"told": session_id, "id": session.id, "version": session.version, "data": session.data, "pid": os.getpid()}


def slowly(seconds):
    time.sleep(seconds)
    return count()


def forget(name):
    del dspex.current_session().data[name]


def fail():
    count()
    raise ValueError("no")


def spoil():
    dspex.current_session().data["n"] = object()


def deepen():
    value = []
    for _ in range(200):
        value = [value]
    dspex.current_session().data["n"] = value


def long():
    count()
    return "x" * 5000


def die():
    count()
    os.abort()


def outside():
    return dspex.current_session().id
"#;

pub struct Subject {
    pub cluster: Cluster,
    project: Project,
    runtime: tokio::runtime::Runtime,
}

impl Subject {
    /// Of so many nodes.
    pub fn new(nodes: usize) -> Self {
        let project = Project::new("");
        project.file("commands.py", COMMANDS);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self { cluster: Cluster::of(nodes), project, runtime }
    }

    pub fn session(&self, id: &str) {
        self.cluster.dspex(0, &["session", "create", id]).run().expect(0);
    }

    /// A command of the file, as it is called.
    pub fn command(&self, name: &str) -> String {
        format!("{}:{name}", self.project.path("commands.py").display())
    }

    pub fn request(&self, id: &str, name: &str, arguments: &str) -> ExecuteSessionRequest {
        ExecuteSessionRequest {
            request_id: Some(request_id()),
            session_id: id.to_owned(),
            command: self.command(name),
            arguments: arguments.to_owned().into(),
            // For a Python that starts while other tests do the same.
            queue_timeout_ms: Some(120_000),
            ..ExecuteSessionRequest::default()
        }
    }

    /// Asks a node for a call.
    pub fn asks(&self, position: usize, request: ExecuteSessionRequest) -> Result<ExecuteSessionResponse, ApiError> {
        self.runtime.block_on(async {
            let client = self.cluster.client(position).await?;
            client.execute_session(request, std::time::Duration::from_secs(300)).await
        })
    }

    /// A call that succeeds, and its result.
    pub fn calls(&self, position: usize, id: &str, name: &str, arguments: &str) -> (Value, ExecuteSessionResponse) {
        let answer = self.asks(position, self.request(id, name, arguments)).expect("executed");
        (serde_json::from_slice(&answer.result).expect("JSON"), answer)
    }

    /// The session as a node shows it.
    pub fn shown(&self, position: usize, id: &str) -> Session {
        let get = GetSessionRequest { session_id: id.to_owned(), ..GetSessionRequest::default() };
        self.cluster.ask(position, async |client| client.session(get.clone()).await).expect("it is there")
    }

    /// The position of a session's home.
    pub fn home(&self, id: &str) -> usize {
        let (_, answer) = self.calls(self.cluster.running()[0], id, "look", "");
        self.cluster.position(answer.node_id)
    }
}

pub fn request_id() -> RequestId {
    RequestId { client: Uuid::from_u128(7).to_string(), request: Uuid::now_v7().to_string() }
}
