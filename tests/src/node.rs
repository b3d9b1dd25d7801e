//! What a home's node says of itself, over the public API.

use std::time::Duration;

use dspex_api::v1::{ListRunsRequest, Run, RunStatus, StatusResponse, Worker, Zygote};
use dspex_api::{ApiError, Client, TimeLimits, Token};

use crate::home::Home;
use crate::process;
use crate::waiting::wait_until;

const PROGRESS_LIMIT: Duration = Duration::from_secs(60);
const END_LIMIT: Duration = Duration::from_secs(10);

impl Home {
    /// Asks the node something over gRPC.
    ///
    /// # Panics
    /// When this machine has no sockets left.
    pub fn ask<T>(&self, call: impl AsyncFnOnce(Client) -> Result<T, ApiError>) -> Result<T, ApiError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let client =
                Client::connect(self.path().join("node.sock").as_path(), Token::default(), TimeLimits::default())
                    .await?;
            call(client).await
        })
    }

    /// The node's status; nothing when no node answers.
    pub fn status(&self) -> Option<StatusResponse> {
        self.ask(async |client| client.status().await).ok()
    }

    /// The node's process.
    ///
    /// # Panics
    /// When no node answers.
    #[track_caller]
    pub fn node(&self) -> u32 {
        self.status().expect("the node answers").pid
    }

    /// kill -9 of the node; returns when it has gone.
    ///
    /// # Panics
    /// When no node answers, or when it survives.
    #[track_caller]
    pub fn kill_node(&self) -> u32 {
        let pid = self.node();
        process::kill(pid);
        assert!(process::ends_within(pid, END_LIMIT), "a node survived kill -9");
        pid
    }

    /// The worker processes.
    pub fn workers(&self) -> Vec<Worker> {
        self.ask(async |client| client.workers().await).unwrap_or_default()
    }

    /// The zygotes.
    pub fn zygotes(&self) -> Vec<Zygote> {
        self.status().map(|status| status.zygotes).unwrap_or_default()
    }

    /// The runs, newest first.
    pub fn runs(&self) -> Vec<Run> {
        let request = ListRunsRequest { all: true, ..ListRunsRequest::default() };
        self.ask(async |client| client.list_runs(request).await).map(|answer| answer.items).unwrap_or_default()
    }

    /// One run.
    ///
    /// # Panics
    /// When the node does not know it.
    #[track_caller]
    pub fn run(&self, id: &str) -> Run {
        self.ask(async |client| client.run(id).await).expect("the node knows the run")
    }

    /// Waits until the newest run, which must be running, has at least so many results.
    ///
    /// # Panics
    /// When it has ended before, or does not come so far.
    #[track_caller]
    pub fn wait_for_results(&self, results: u32) -> Run {
        wait_until(&format!("{results} results are recorded"), PROGRESS_LIMIT, || {
            let run = self.runs().into_iter().next()?;
            if run.status() != RunStatus::Running {
                // It may be the run before the one that is about to start.
                return None;
            }
            (run.done >= results).then_some(run)
        })
    }

    /// Waits until a run has this status.
    ///
    /// # Panics
    /// When it does not get it within the limit.
    #[track_caller]
    pub fn wait_for_status(&self, id: &str, status: RunStatus, limit: Duration) -> Run {
        wait_until(&format!("the run is {}", status.as_str_name()), limit, || {
            let run = self.ask(async |client| client.run(id).await).ok()?;
            (run.status() == status).then_some(run)
        })
    }
}
