//! The calls of the service Runs.

use tonic::Streaming;
use tonic::codegen::tokio_stream::Stream;

use crate::ApiError;
use crate::client::{Client, Transport, message_limit};
use crate::v1::runs_client::RunsClient;
use crate::v1::{
    CancelRunRequest, DeleteRunRequest, DriverAnswer, DriverQuestion, GetRunRequest, ListRunsRequest, ListRunsResponse,
    ResultBatch, ResumeRunRequest, Run, RunEvent, RunResultsRequest, SubmitRunRequest, SubmitRunResponse,
    WatchRunRequest,
};

impl Client {
    fn runs(&self) -> RunsClient<Transport> {
        RunsClient::with_interceptor(self.channel.clone(), self.token.clone())
            .max_decoding_message_size(message_limit())
            .max_encoding_message_size(message_limit())
    }

    /// Checks the program and stores the run.
    pub async fn submit(&self, request: SubmitRunRequest) -> Result<SubmitRunResponse, ApiError> {
        self.bounded("submit", self.limits.load, self.runs().submit(request)).await
    }

    /// One run.
    pub async fn run(&self, run_id: &str) -> Result<Run, ApiError> {
        let request = GetRunRequest { run_id: run_id.to_owned() };
        self.bounded("get run", self.limits.call, self.runs().get(request)).await
    }

    /// Runs, newest first.
    pub async fn list_runs(&self, request: ListRunsRequest) -> Result<ListRunsResponse, ApiError> {
        self.bounded("list runs", self.limits.call, self.runs().list(request)).await
    }

    /// Events until the run has ended.
    pub async fn watch(&self, request: WatchRunRequest) -> Result<Streaming<RunEvent>, ApiError> {
        self.bounded("watch", self.limits.call, self.runs().watch(request)).await
    }

    /// Results in example order.
    pub async fn results(&self, request: RunResultsRequest) -> Result<Streaming<ResultBatch>, ApiError> {
        self.bounded("results", self.limits.call, self.runs().results(request)).await
    }

    /// Answers what the workers of a payload's run ask their driver.
    pub async fn serve_run(
        &self,
        answers: impl Stream<Item = DriverAnswer> + Send + 'static,
    ) -> Result<Streaming<DriverQuestion>, ApiError> {
        self.bounded("serve", self.limits.call, self.runs().serve(answers)).await
    }

    /// Cancels; what is there stays.
    pub async fn cancel(&self, request: CancelRunRequest) -> Result<Run, ApiError> {
        self.bounded("cancel", self.limits.call, self.runs().cancel(request)).await
    }

    /// Continues a run with the caller's environment.
    pub async fn resume(&self, request: ResumeRunRequest) -> Result<SubmitRunResponse, ApiError> {
        self.bounded("resume", self.limits.load, self.runs().resume(request)).await
    }

    /// Deletes a run and its results.
    pub async fn delete_run(&self, request: DeleteRunRequest) -> Result<(), ApiError> {
        self.bounded("delete run", self.limits.call, self.runs().delete(request)).await?;
        Ok(())
    }
}
