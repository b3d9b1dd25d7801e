//! The doors of a cluster: where its nodes are asked, and with what. Our own cluster has them, and so has an operator's.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dspex_api::{Address, ApiError, Ca, Client, Credentials, TimeLimits, Token, reason};
use tokio::runtime::Runtime;

/// Threads for all clients of a run: they wait most of the time.
const THREADS: usize = 2;

/// A node that can be asked.
#[derive(Clone, Debug)]
pub struct Door {
    /// What the node is called in reports and in commands of an operator.
    pub name: String,
    /// Where its API is.
    pub address: Address,
    /// The file with a token that may write sessions. Read for each connection: a node makes its own at its first start.
    pub token_file: PathBuf,
    /// The authority of its certificate, PEM, where it speaks TLS.
    pub ca: Option<PathBuf>,
}

/// The nodes of a cluster, and the threads that speak with them.
#[derive(Clone, Debug)]
pub struct Target {
    doors: Arc<[Door]>,
    runtime: Arc<Runtime>,
}

/// For questions of the harness: a node that lives answers within it.
pub(crate) const QUESTION: TimeLimits = limits(Duration::from_secs(1), Duration::from_secs(5));

/// Waits until all nodes answer and know the same leader.
pub(crate) fn is_whole_within(target: &Target, limit: Duration) -> bool {
    let leader = |node| {
        let status = target.ask(node, async |client| client.cluster_status().await).ok()?;
        (status.leader_id != 0).then_some(status.leader_id)
    };
    let begun = Instant::now();
    loop {
        let leaders: Option<Vec<u64>> = (0..target.doors().len()).map(leader).collect();
        if leaders.is_some_and(|leaders| leaders.iter().all(|other| Some(other) == leaders.first())) {
            return true;
        }
        if begun.elapsed() > limit {
            return false;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub(crate) const fn limits(connect: Duration, call: Duration) -> TimeLimits {
    TimeLimits { connect, call, load: call }
}

impl Door {
    /// A connection of its own.
    ///
    /// # Errors
    /// When nobody answers, or a file cannot be read; nothing was asked then.
    pub async fn connect(&self, limits: TimeLimits) -> Result<Client, ApiError> {
        let credentials = self.credentials().map_err(|why| ApiError::invalid(reason::UNAUTHENTICATED, why))?;
        Client::connect(self.address.clone(), credentials, limits).await
    }

    fn credentials(&self) -> Result<Credentials, String> {
        let unreadable = |path: &PathBuf, error| format!("{}: {error}", path.display());
        let token = std::fs::read_to_string(&self.token_file).map_err(|error| unreadable(&self.token_file, error))?;
        let authority = |path: &PathBuf| {
            let pem = std::fs::read(path).map_err(|error| unreadable(path, error))?;
            Ca::new(&pem).map_err(|why| format!("{}: {why}", path.display()))
        };
        Ok(Credentials { token: Token::new(&token)?, ca: self.ca.as_ref().map(authority).transpose()? })
    }
}

impl Target {
    /// Of these nodes.
    ///
    /// # Errors
    /// When this process can have no more threads.
    pub fn new(doors: Vec<Door>) -> std::io::Result<Self> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(THREADS).enable_all().build()?;
        Ok(Self { doors: doors.into(), runtime: Arc::new(runtime) })
    }

    /// The nodes.
    pub fn doors(&self) -> &[Door] {
        &self.doors
    }

    /// Asks one node something over a connection of its own.
    ///
    /// # Errors
    /// What the node or the connection said.
    pub fn ask<T>(
        &self,
        position: usize,
        call: impl AsyncFnOnce(Client) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let door = &self.doors[position];
        self.runtime.block_on(async { call(door.connect(QUESTION).await?).await })
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }
}
