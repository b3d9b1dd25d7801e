//! A project whose functions are called, and what is recorded of that.

use std::time::Duration;

use dspex_api::v1::{CallPoolRequest, Caller, Execution, ListExecutionsRequest, OpenPoolRequest};
use dspex_api::{ApiError, Client};
use dspex_tests::{Dspex, Home, Project, places, wait_until};
use serde_json::Value;

/// For a record on a machine that does something else as well.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub const TOOLS: &str = r#"
def double(n):
    return 2 * n

def fails(text):
    raise LookupError(text)

def nap(seconds):
    time.sleep(seconds)
    return seconds

def die():
    os._exit(9)

def repeat(text, times):
    return text * times
"#;

/// All calls of the pool are recorded.
pub const ALL: &str = "[pools.general]\nworkers = 2\nrecord = \"all\"\n";

/// An embedded node, and a project that its calls come from.
pub struct Subject {
    pub home: Home,
    pub project: Project,
}

impl Subject {
    pub fn new(settings: &str) -> Self {
        let (home, project) = (Home::new(), Project::new(TOOLS));
        std::fs::create_dir(home.path()).expect("a directory");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(home.path(), mode).expect("a mode");
        std::fs::write(home.path().join("dspex.toml"), settings).expect("a file");
        Self { home, project }
    }

    pub fn dspex(&self, arguments: &[&str]) -> Dspex {
        self.home.dspex(arguments).directory(self.project.directory())
    }

    /// `dspex pool call general ...`.
    pub fn call(&self, arguments: &[&str]) -> Dspex {
        self.dspex(&["pool", "call", "general"]).args(arguments).arg("-o").arg("json")
    }

    /// What `dspex execution list` prints.
    #[track_caller]
    pub fn list(&self, arguments: &[&str]) -> Vec<Value> {
        items(&self.dspex(&["execution", "list", "-o", "json"]).args(arguments).run().expect(0).object())
    }

    /// The same, once there are so many.
    #[track_caller]
    pub fn recorded(&self, count: usize, arguments: &[&str]) -> Vec<Value> {
        let listed = || Some(self.list(arguments)).filter(|listed| listed.len() >= count);
        let listed = wait_until(&format!("{count} executions are recorded"), PATIENCE, listed);
        assert_eq!(listed.len(), count, "{listed:?}");
        listed
    }

    pub fn open(&self) -> OpenPoolRequest {
        OpenPoolRequest {
            pool: "general".to_owned(),
            caller: Some(Caller {
                directory: self.project.directory().display().to_string(),
                environment: self.dspex(&[]).environment(),
                interpreter: places::interpreter().display().to_string(),
                interpreter_reason: "test".to_owned(),
            }),
        }
    }
}

pub fn items(listed: &Value) -> Vec<Value> {
    listed["items"].as_array().cloned().expect("items")
}

/// One field of each.
pub fn field(listed: &[Value], name: &str) -> Vec<Value> {
    listed.iter().map(|execution| execution[name].clone()).collect()
}

/// A call.
pub fn request(pool_id: &str, command: &str, arguments: &str) -> CallPoolRequest {
    CallPoolRequest {
        pool_id: pool_id.to_owned(),
        command: command.to_owned(),
        arguments: arguments.as_bytes().to_vec().into(),
        ..CallPoolRequest::default()
    }
}

/// Page after page of so many, until the last.
pub async fn pages(client: &Client, of: ListExecutionsRequest) -> Result<Vec<Execution>, ApiError> {
    let mut request = of;
    let mut all = Vec::new();
    loop {
        let page = client.list_executions(request.clone()).await?;
        all.extend(page.items);
        request.before = page.next;
        if page.next == 0 {
            return Ok(all);
        }
    }
}
