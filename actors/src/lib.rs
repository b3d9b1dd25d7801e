//! Who does the work: the supervision tree of one node. The only room that knows ractor.
//!
//! Orders go down by actors, facts come up through the log: an actor holds nothing that cannot be derived again from the
//! replicated state, so a message may be lost and an actor may die at any time without harm. Each actor receives, lets a
//! plain function decide (`evaluation/plan.rs`), and sends.

mod attendance;
mod board;
mod bulkheads;
mod bundles;
mod capacity;
mod container;
mod context;
mod draining;
mod environments;
mod error;
mod evaluation;
mod evaluations;
mod executions;
mod following;
mod freeing;
mod hosting;
mod links;
mod metering;
mod ownership;
mod payload;
mod pool;
mod pools;
mod preparation;
mod printing;
mod proposing;
mod reconcile;
mod recorder;
mod run_workers;
mod sessions;
mod stored;
mod submission;
mod tree;
mod values;
mod worker;

pub use attendance::Attendance;
pub use board::{Board, DriverGuard, Question, Timing};
pub use bundles::{BundleSettings, Bundles};
pub use capacity::RunLimits;
pub use container::split_returned;
pub use context::{NodeContext, NodeParts};
pub use environments::{DEFAULT_ENVIRONMENT, EnvironmentNeed, EnvironmentView, NamedEnvironment};
pub use error::{SubmitError, SubmitErrorKind};
pub use executions::{CalledBy, ExecutionRecord, Executions, Place};
pub use following::{Asking, Following, RealTime, Told};
pub use links::Links;
pub use pool::{
    CallError, CallProgram, CallReply, CallRequest, Health, HealthStatus, Pool, PoolClass, PoolSettings, PoolStats,
    RecordedCalls,
};
pub use pools::{Pools, PoolsSettings};
pub use printing::TelemetryInlet;
pub use proposing::By;
pub use sessions::{AtHomeError, ExecuteError, ExecuteRequest, Executed, Remote, RemoteError, Sessions};
pub use submission::{
    Caller, Column, DatasetSource, EvaluationRequest, Placed, ResumeRequest, ShippedRequest, SubmitRequest, Submitted,
};
pub use tree::Tree;
pub use worker::{WorkerService, WorkerState, WorkerView};
