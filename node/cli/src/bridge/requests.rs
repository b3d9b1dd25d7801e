//! What is done for each request of the program.

use std::path::{Path, PathBuf};

use dspex_api::v1::{
    self, CancelRunRequest, Distribution, EvaluationSpec, FileDataset, Fingerprint, OpenPoolRequest, RunResultsRequest,
    ShippedCode, SubmitRunRequest, WatchRunRequest, evaluation_spec,
};
use dspex_api::{ApiError, Client, reason};
use dspex_bundle::Secrets;
use serde_json::Value;
use tokio::sync::mpsc;

use super::answers::{Body, Nothing};
use super::current::{CurrentNode, Next};
use super::frames::Outgoing;
use super::messages::{Caller, Connect, Evaluation, Failure, Method, NodeNamed, Part, PutBundle, Request, Shipped};
use super::{PARTS, calls, executions, programs, sessions, variables};
use crate::arguments::Global;
use crate::error::CommandError;
use crate::follow::new_request_id;
use crate::invocation::Invocation;
use crate::other_nodes::Loss;
use crate::project::{Limit, Stored, Wanted, pack_project, send};

/// The most that the files of a project may take together.
const BUNDLE_LIMIT: &str = "DSPEX_BUNDLE_LIMIT";

/// Which node, where the program does not say.
pub(super) struct NodeOptions {
    address: Option<String>,
    token_file: Option<PathBuf>,
    ca: Option<PathBuf>,
}

impl NodeOptions {
    pub(super) fn of(global: &Global) -> Self {
        Self { address: global.address.clone(), token_file: global.token_file.clone(), ca: global.ca.clone() }
    }

    /// The program's own words go first.
    pub(super) fn invocation(&self, of: NodeNamed) -> Result<Invocation, CommandError> {
        Invocation::new(&Global {
            output: None,
            json: false,
            verbose: 0,
            quiet: true,
            command_timeout: None,
            address: of.address.or_else(|| self.address.clone()),
            token_file: of.token_file.map(PathBuf::from).or_else(|| self.token_file.clone()),
            ca: of.ca.map(PathBuf::from).or_else(|| self.ca.clone()),
            is_address_set_aside: false,
        })
    }

    /// The embedded node, whatever the program or the environment names.
    fn embedded(&self) -> Result<Invocation, CommandError> {
        Self { address: None, token_file: None, ca: None }.invocation(NodeNamed::default())
    }
}

/// What all requests share.
pub(super) struct Bridge {
    pub(super) node: NodeOptions,
    node_in_use: CurrentNode,
    outgoing: mpsc::Sender<Outgoing>,
}

impl Bridge {
    pub(super) fn new(node: NodeOptions, outgoing: mpsc::Sender<Outgoing>) -> Self {
        Self { node, node_in_use: CurrentNode::default(), outgoing }
    }

    pub(super) async fn send(&self, outgoing: Outgoing) {
        // A program that is gone needs no answer; the reading side sees its end.
        let _ = self.outgoing.send(outgoing).await;
    }

    pub(super) fn client(&self) -> Result<Client, Failure> {
        Ok(self.current()?.0)
    }

    /// The node in use, and which of all that were it is.
    pub(super) fn current(&self) -> Result<(Client, u32), Failure> {
        self.node_in_use.client().ok_or_else(not_connected)
    }

    /// The connection in use, and which of all that were it is.
    pub(super) fn connection(&self) -> Result<(Client, u32), Failure> {
        self.node_in_use.connection().ok_or_else(not_connected)
    }

    pub(super) async fn connect_anew(&self, connection: u32) -> bool {
        self.node_in_use.connect_anew(connection).await
    }

    pub(super) async fn move_on(&self, turn: u32, run_id: &str, loss: Loss) -> Next {
        self.node_in_use.move_on(turn, run_id, loss).await
    }

    pub(super) async fn move_anywhere(&self, turn: u32) -> bool {
        self.node_in_use.move_anywhere(turn).await
    }

    pub(super) async fn moved(&self, turn: u32) {
        self.node_in_use.moved(turn).await;
    }

    pub(super) fn learn_again(&self) {
        self.node_in_use.learn_again();
    }

    pub(super) async fn perform(&self, request: Request, parts: mpsc::Receiver<Part>) -> Result<Body, Failure> {
        let id = request.id;
        match request.method {
            Method::Connect(connect) => self.connect(connect).await,
            Method::Elsewhere(_) => {
                let (_, turn) = self.current()?;
                // Another request may have gone on already.
                Ok(Body::Elsewhere { moved: self.node_in_use.answers().await || self.move_anywhere(turn).await })
            }
            Method::Choose(choose) => self.choose(*choose).await,
            Method::PutBlob(_) => self.put_blob(parts).await,
            Method::PutBundle(put) => self.put_bundle(put).await,
            Method::Submit(submit) => {
                let submit = *submit;
                let request = SubmitRunRequest {
                    request_id: Some(new_request_id()),
                    caller: Some(caller(submit.caller)),
                    evaluation: Some(evaluation(submit.evaluation)),
                    detach: submit.detach,
                    resume: false,
                    traceparent: submit.traceparent.unwrap_or_default(),
                };
                let submitted = self.begin(async |client: Client| client.submit(request.clone()).await).await?;
                let run = submitted.run.ok_or_else(|| ApiError::internal("the node answered without a run"))?;
                let (notes, resumed) = (submitted.notes, submitted.resumed);
                Ok(Body::Submitted { run: Box::new(run.into()), notes, resumed })
            }
            Method::GetRun(of) => Ok(Body::Run(Box::new(self.client()?.run(&of.run_id).await?.into()))),
            Method::CancelRun(cancel) => {
                let request = CancelRunRequest {
                    request_id: Some(new_request_id()),
                    run_id: cancel.run_id,
                    reason: cancel.reason,
                };
                Ok(Body::Run(Box::new(self.cancel(request).await?.into())))
            }
            Method::Watch(watch) => {
                let (run_id, driver) = (watch.run_id, watch.driver);
                self.watch(id, WatchRunRequest { run_id, driver, ..WatchRunRequest::default() }).await
            }
            Method::Results(results) => {
                let request = RunResultsRequest {
                    run_id: results.run_id,
                    failed_only: false,
                    full: results.full,
                    follow: results.follow,
                    returned: results.returned,
                };
                self.results(id, request).await
            }
            Method::Serve(of) => self.serve(id, of.run_id, parts).await,
            Method::Calls(open) => {
                let request = OpenPoolRequest { pool: open.pool, caller: Some(caller(open.caller)) };
                let opening = self.begin(async |client: Client| {
                    let pool_id = client.open_pool(request.clone()).await?;
                    Ok::<_, ApiError>((client, pool_id))
                });
                let (client, pool_id) = opening.await?;
                calls::pass_on(self, &client, id, pool_id, parts).await?;
                Ok(Body::Nothing(Nothing {}))
            }
            Method::PoolStats(of) => {
                let items = self.client()?.pool_stats(&of.pool).await?;
                Ok(Body::PoolStats { items: items.into_iter().map(Into::into).collect() })
            }
            Method::Sessions(order) => Ok(Body::Sessions(sessions::perform(self, order).await?)),
            Method::GetBlob(of) => executions::blob(&self.client()?, of).await,
            Method::ListExecutions(wanted) => executions::list(&self.client()?, wanted).await,
            Method::GetExecution(of) => executions::get(&self.client()?, of).await,
            Method::ClearExecutions(_) => executions::clear(&self.client()?).await,
            stored => self.stored(stored).await.map(Body::Plain),
        }
    }

    /// Requests about what is stored under a name.
    async fn stored(&self, method: Method) -> Result<Value, Failure> {
        let client = &self.client()?;
        match method {
            Method::PutProgram(put) => programs::put(client, put).await,
            Method::GetProgram(get) => programs::get(client, get).await,
            Method::DeleteProgram(delete) => programs::delete(client, delete).await,
            Method::ListPrograms(list) => programs::list(client, list).await,
            Method::ProgramHistory(of) => programs::history(client, of).await,
            Method::SetProgramStatus(set) => programs::set_status(client, set).await,
            Method::RecordOptimization(record) => programs::record_optimization(client, record).await,
            Method::ListOptimizations(of) => programs::list_optimizations(client, of).await,
            Method::SetVariable(set) => variables::set(client, set).await,
            Method::GetVariable(get) => variables::get(client, get).await,
            Method::DeleteVariable(delete) => variables::delete(client, delete).await,
            Method::ListVariables(list) => variables::list(client, list).await,
            Method::VariableHistory(of) => variables::history(client, of).await,
            _ => Err(Failure::Api(ApiError::internal("the request is not one about what is stored"))),
        }
    }

    async fn connect(&self, connect: Connect) -> Result<Body, Failure> {
        let invocation = match connect.embedded {
            true => self.node.embedded()?,
            false => self.node.invocation(connect.node)?,
        };
        if self.node_in_use.client().is_none() {
            self.node_in_use.set(invocation.node().await?);
        }
        let client = self.client()?;
        let status = client.status().await?;
        Ok(Body::Connected {
            address: client.address().to_string(),
            version: status.version,
            embedded: status.embedded,
            home: status.home,
        })
    }

    async fn put_blob(&self, mut parts: mpsc::Receiver<Part>) -> Result<Body, Failure> {
        let (sender, receiver) = mpsc::channel(PARTS);
        let passing = async move {
            while let Some(Part { data, end, .. }) = parts.recv().await {
                // An upload that has ended says why by itself.
                if sender.send(dspex_api::Part::Chunk(data)).await.is_err() {
                    return;
                }
                if end {
                    let _ = sender.send(dspex_api::Part::End).await;
                    return;
                }
            }
            // The program gave up: without its end the upload counts for nothing.
            std::future::pending::<()>().await;
        };
        let client = self.client()?;
        let putting = client.put_blob_stream(receiver);
        tokio::pin!(putting);
        let stored = tokio::select! {
            stored = &mut putting => stored?,
            () = passing => putting.await?,
        };
        Ok(Body::Stored { digest: stored.digest, bytes: stored.bytes })
    }

    /// Packs on a thread of its own: answers to other requests do not wait for the disk.
    async fn put_bundle(&self, put: PutBundle) -> Result<Body, Failure> {
        let bytes_max = std::env::var(BUNDLE_LIMIT).ok().map_or(Ok(Limit::default()), |text| text.parse());
        let Limit(bytes_max) = bytes_max.map_err(|why| CommandError::usage(format!("{BUNDLE_LIMIT}: {why}")))?;
        let packing = move || {
            let needed: Vec<&str> = put.files.iter().map(String::as_str).collect();
            let secrets = Secrets::of(&put.secrets);
            let root = Path::new(&put.root);
            pack_project(&Wanted { root, bytes_max, secrets: &secrets, needed: &needed, added: &[] })
        };
        let packed =
            tokio::task::spawn_blocking(packing).await.map_err(|error| ApiError::internal(error.to_string()))??;
        let stored = send(&self.client()?, packed).await?;
        let Stored { digest, bytes, files, was_there } = stored;
        Ok(Body::StoredBundle { digest, bytes, files, was_there })
    }
}

fn not_connected() -> Failure {
    Failure::Api(ApiError::precondition(reason::REQUEST_INVALID, "the first request must be `connect`"))
}

pub(super) fn caller(caller: Caller) -> v1::Caller {
    v1::Caller {
        directory: caller.directory,
        environment: caller.environment,
        interpreter: caller.interpreter,
        interpreter_reason: caller.interpreter_reason,
    }
}

fn evaluation(evaluation: Evaluation) -> EvaluationSpec {
    let file = FileDataset {
        digest: evaluation.file.digest,
        name: evaluation.file.name,
        examples: evaluation.file.examples,
        columns: Vec::new(),
        text_cells: false,
        envelopes: evaluation.file.envelopes,
    };
    EvaluationSpec {
        program: evaluation.program,
        metric: evaluation.metric,
        dataset: Some(evaluation_spec::Dataset::File(file)),
        num_threads: evaluation.num_threads,
        workers: evaluation.workers,
        timeout_ms: evaluation.timeout_ms,
        retries: evaluation.retries,
        max_errors: evaluation.max_errors,
        failure_score: evaluation.failure_score,
        shipped: evaluation.shipped.map(shipped),
        ..EvaluationSpec::default()
    }
}

fn shipped(shipped: Shipped) -> ShippedCode {
    let Shipped { bundle, directory, path, environment, python, distributions } = shipped;
    let distribution = |(name, version)| Distribution { name, version };
    let distributions = distributions.into_iter().map(distribution).collect();
    ShippedCode { bundle, directory, path, environment, fingerprint: Some(Fingerprint { python, distributions }) }
}
