//! The calls of the service Programs.

use crate::ApiError;
use crate::client::{Client, Transport, message_limit};
use crate::v1::programs_client::ProgramsClient;
use crate::v1::{
    DeleteProgramRequest, GetProgramRequest, ListOptimizationsRequest, ListProgramsRequest, ListProgramsResponse,
    Optimization, Program, ProgramHistoryRequest, ProgramVersion, ProgramWritten, PutProgramRequest,
    RecordOptimizationRequest, RecordOptimizationResponse, SetProgramStatusRequest,
};
use futures::future::BoxFuture;

impl Client {
    fn programs(&self) -> ProgramsClient<Transport> {
        ProgramsClient::with_interceptor(self.channel.clone(), self.token.clone())
            .max_decoding_message_size(message_limit())
    }

    /// A program, or its next version.
    pub fn put_program(&self, request: PutProgramRequest) -> BoxFuture<'_, Result<ProgramWritten, ApiError>> {
        Box::pin(async move { self.bounded("put program", self.limits.call, self.programs().put(request)).await })
    }

    /// A program with what it is made of.
    pub fn program(&self, request: GetProgramRequest) -> BoxFuture<'_, Result<Program, ApiError>> {
        Box::pin(async move { self.bounded("get program", self.limits.call, self.programs().get(request)).await })
    }

    /// Removes a program with its history.
    pub fn delete_program(&self, request: DeleteProgramRequest) -> BoxFuture<'_, Result<(), ApiError>> {
        Box::pin(async move {
            self.bounded("delete program", self.limits.call, self.programs().delete(request)).await?;
            Ok(())
        })
    }

    /// One page of programs.
    pub fn list_programs(&self, request: ListProgramsRequest) -> BoxFuture<'_, Result<ListProgramsResponse, ApiError>> {
        Box::pin(async move { self.bounded("list programs", self.limits.call, self.programs().list(request)).await })
    }

    /// The versions that are kept, newest first.
    pub fn program_history(
        &self,
        request: ProgramHistoryRequest,
    ) -> BoxFuture<'_, Result<Vec<ProgramVersion>, ApiError>> {
        Box::pin(async move {
            Ok(self.bounded("program history", self.limits.call, self.programs().history(request)).await?.items)
        })
    }

    /// How far a program is.
    pub fn set_program_status(
        &self,
        request: SetProgramStatusRequest,
    ) -> BoxFuture<'_, Result<ProgramWritten, ApiError>> {
        Box::pin(async move {
            self.bounded("set program status", self.limits.call, self.programs().set_status(request)).await
        })
    }

    /// What an optimization of a program gave.
    pub fn record_optimization(
        &self,
        request: RecordOptimizationRequest,
    ) -> BoxFuture<'_, Result<RecordOptimizationResponse, ApiError>> {
        Box::pin(async move {
            self.bounded("record optimization", self.limits.call, self.programs().record_optimization(request)).await
        })
    }

    /// The optimizations that are kept, newest first.
    pub fn list_optimizations(
        &self,
        request: ListOptimizationsRequest,
    ) -> BoxFuture<'_, Result<Vec<Optimization>, ApiError>> {
        Box::pin(async move {
            let mut programs = self.programs();
            let listing = programs.list_optimizations(request);
            Ok(self.bounded("list optimizations", self.limits.call, listing).await?.items)
        })
    }
}
