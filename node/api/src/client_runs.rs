//! The calls of the service Runs.

use futures::future::BoxFuture;
use tonic::Streaming;
use tonic::codegen::tokio_stream::Stream;

use crate::ApiError;
use crate::client::{Client, Transport, message_limit};
use crate::v1::runs_client::RunsClient;
use crate::v1::{
    CancelRunRequest, DeleteRunRequest, DriverAnswer, DriverQuestion, GetRunRequest, ListRunsRequest, ListRunsResponse,
    PauseRunRequest, ResultBatch, ResumeRunRequest, RetryRunRequest, Run, RunEvent, RunResultsRequest,
    SubmitRunRequest, SubmitRunResponse, WatchRunRequest, WeighRunRequest,
};

impl Client {
    fn runs(&self) -> RunsClient<Transport> {
        RunsClient::with_interceptor(self.channel.clone(), self.token.clone())
            .max_decoding_message_size(message_limit())
            .max_encoding_message_size(message_limit())
    }

    /// Checks the program and stores the run.
    pub fn submit(&self, request: SubmitRunRequest) -> BoxFuture<'_, Result<SubmitRunResponse, ApiError>> {
        Box::pin(async move { self.bounded("submit", self.limits.load, self.runs().submit(request)).await })
    }

    /// One run.
    pub fn run<'a>(&'a self, run_id: &'a str) -> BoxFuture<'a, Result<Run, ApiError>> {
        Box::pin(async move {
            let request = GetRunRequest { run_id: run_id.to_owned() };
            self.bounded("get run", self.limits.call, self.runs().get(request)).await
        })
    }

    /// Runs, newest first.
    pub fn list_runs(&self, request: ListRunsRequest) -> BoxFuture<'_, Result<ListRunsResponse, ApiError>> {
        Box::pin(async move { self.bounded("list runs", self.limits.call, self.runs().list(request)).await })
    }

    /// Events until the run has ended.
    pub fn watch(&self, request: WatchRunRequest) -> BoxFuture<'_, Result<Streaming<RunEvent>, ApiError>> {
        Box::pin(async move { self.bounded("watch", self.limits.call, self.runs().watch(request)).await })
    }

    /// Results in example order.
    pub fn results(&self, request: RunResultsRequest) -> BoxFuture<'_, Result<Streaming<ResultBatch>, ApiError>> {
        Box::pin(async move { self.bounded("results", self.limits.call, self.runs().results(request)).await })
    }

    /// Answers what the workers of a payload's run ask their driver.
    pub fn serve_run(
        &self,
        answers: impl Stream<Item = DriverAnswer> + Send + 'static,
    ) -> BoxFuture<'_, Result<Streaming<DriverQuestion>, ApiError>> {
        Box::pin(async move { self.bounded("serve", self.limits.call, self.runs().serve(answers)).await })
    }

    /// Cancels; what is there stays.
    pub fn cancel(&self, request: CancelRunRequest) -> BoxFuture<'_, Result<Run, ApiError>> {
        Box::pin(async move { self.bounded("cancel", self.limits.call, self.runs().cancel(request)).await })
    }

    /// Gives no more examples out; what is under way ends and counts.
    pub fn pause(&self, request: PauseRunRequest) -> BoxFuture<'_, Result<Run, ApiError>> {
        Box::pin(async move { self.bounded("pause", self.limits.call, self.runs().pause(request)).await })
    }

    /// Says how much of the nodes the run is to have beside others.
    pub fn weigh(&self, request: WeighRunRequest) -> BoxFuture<'_, Result<Run, ApiError>> {
        Box::pin(async move { self.bounded("weigh", self.limits.call, self.runs().weigh(request)).await })
    }

    /// Continues a run with the caller's environment.
    pub fn resume(&self, request: ResumeRunRequest) -> BoxFuture<'_, Result<SubmitRunResponse, ApiError>> {
        Box::pin(async move { self.bounded("resume", self.limits.load, self.runs().resume(request)).await })
    }

    /// Executes the failed examples of a run once more, with the caller's environment.
    pub fn retry(&self, request: RetryRunRequest) -> BoxFuture<'_, Result<SubmitRunResponse, ApiError>> {
        Box::pin(async move { self.bounded("retry", self.limits.load, self.runs().retry(request)).await })
    }

    /// Deletes a run and its results.
    pub fn delete_run(&self, request: DeleteRunRequest) -> BoxFuture<'_, Result<(), ApiError>> {
        Box::pin(async move {
            self.bounded("delete run", self.limits.call, self.runs().delete(request)).await?;
            Ok(())
        })
    }
}
