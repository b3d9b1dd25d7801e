//! One client: an operation at a time, sent again under its request id at another node until it is answered or its time is over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use dspex_api::ApiError;
use dspex_api::v1::{
    CreateSessionRequest, DeleteSessionRequest, ExecuteSessionRequest, Freshness, GetSessionRequest, RequestId,
    Session, UpdateSessionRequest,
};
use tokio::time::sleep;
use uuid::Uuid;

use super::answer::{Said, ended, judge};
use super::{Shared, call, plan};
use crate::control::Chance;
use crate::target::{Target, limits};
use crate::{Action, Operation, Outcome};

/// What the data of a session are under.
const NAME: &str = "value";
/// How many of a hundred operations go to another node than the one before.
const MOVES_PERCENT: u8 = 20;
/// Every so manyth key has sessions that are deleted.
const DELETING: usize = 4;
/// Between two sendings of a request.
const PAUSE: Duration = Duration::from_millis(50);

/// Every so manyth key, from the second on, has sessions that code is called in.
const CALLING: usize = 4;

/// How an operation is sent, each time the same.
enum Way {
    /// By a request of the store.
    Plain { request: RequestId, ttl_ms: Option<u64> },
    /// By code that is called in the session.
    Call(Box<ExecuteSessionRequest>),
}

/// A client with its connections and what it knows.
pub(super) struct Client {
    number: u64,
    id: Uuid,
    chance: Chance,
    target: Target,
    pub(super) shared: Arc<Shared>,
    /// The node that it asks next.
    node: usize,
    connections: Vec<Option<dspex_api::Client>>,
    /// For each slot: the key that it knows of, and where that stood.
    known: BTreeMap<usize, (u64, Option<u64>)>,
    written: u64,
}

impl Client {
    /// A client.
    pub(super) fn new(number: u64, target: Target, shared: Arc<Shared>) -> Self {
        let nodes = target.doors().len();
        let mut chance = Chance::new(shared.traffic.seed ^ (number + 1).wrapping_mul(0x9e37_79b9));
        let node = usize::try_from(chance.below(nodes as u64)).unwrap_or(0);
        let connections = vec![None; nodes];
        Self {
            number,
            id: Uuid::new_v4(),
            chance,
            target,
            shared,
            node,
            connections,
            known: BTreeMap::new(),
            written: 0,
        }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Works until it is told to stop.
    pub(super) async fn work(mut self) {
        // On the average as far from the last operation as the rate asks for.
        let most = 2_000_000 * self.shared.traffic.clients / self.shared.traffic.per_second.max(1);
        while !self.shared.stopped.load(Ordering::Relaxed) {
            sleep(Duration::from_micros(self.chance.below(most))).await;
            if self.chance.percent(MOVES_PERCENT) {
                self.move_on();
            }
            self.one_more().await;
        }
    }

    async fn one_more(&mut self) {
        let slots = self.shared.slots.len();
        let slot = usize::try_from(self.chance.below(slots as u64)).unwrap_or(0);
        let (key, number) = self.shared.next_key(slot);
        let known = self.known.get(&slot).filter(|(of, _)| *of == number).and_then(|(_, version)| *version);
        self.written += 1;
        let value = format!("{}-{}", self.number, self.written);
        let action = plan::next(&mut self.chance, known, slot % DELETING == 0, value);
        let calling = self.shared.traffic.command.is_some() && slot % CALLING == 1 && self.chance.percent(50);
        let (operation, version) = match action {
            Action::Update { value, .. } if calling => self.perform_by_call(key, value).await,
            action => self.perform(key, action, None).await,
        };
        self.known.insert(slot, (number, version.unwrap_or(known)));
        self.shared.record(operation);
    }

    /// Reads each key; those that were not answered in time.
    pub(super) async fn read_all(mut self, keys: Vec<String>, limit: Duration) -> Vec<String> {
        let end = Instant::now() + limit;
        let mut unread = Vec::new();
        for key in keys {
            self.move_on();
            loop {
                let (operation, version) = self.perform(key.clone(), Action::Get, None).await;
                if version.is_some() {
                    self.shared.record(operation);
                    break;
                }
                if Instant::now() > end {
                    unread.push(key);
                    break;
                }
            }
        }
        unread
    }

    /// The operation, and what it says of where the session stands, where it says something.
    /// `ttl_ms` is for what it creates.
    pub(super) async fn perform(
        &mut self,
        key: String,
        action: Action,
        ttl_ms: Option<u64>,
    ) -> (Operation, Option<Option<u64>>) {
        let end = Instant::now() + self.shared.traffic.operation;
        let way = Way::Plain { request: self.request(), ttl_ms };
        let invoked_ns = self.shared.stopwatch.now_ns();
        let outcome = self.until_known(&key, &action, end, &way).await;
        self.done(key, action, invoked_ns, outcome)
    }

    async fn perform_by_call(&mut self, key: String, value: String) -> (Operation, Option<Option<u64>>) {
        let end = Instant::now() + call::LIMIT;
        let command = self.shared.traffic.command.clone().unwrap_or_default();
        let way = Way::Call(Box::new(call::request(self.request(), &key, &command, &value)));
        let action = Action::Update { expected_version: None, value };
        let invoked_ns = self.shared.stopwatch.now_ns();
        let outcome = self.until_known(&key, &action, end, &way).await;
        if matches!(outcome, Outcome::Written { .. }) {
            self.shared.calls.fetch_add(1, Ordering::Relaxed);
        }
        self.done(key, action, invoked_ns, outcome)
    }

    fn request(&self) -> RequestId {
        RequestId { client: self.id.to_string(), request: Uuid::now_v7().to_string() }
    }

    fn done(&self, key: String, action: Action, invoked_ns: u64, outcome: Outcome) -> (Operation, Option<Option<u64>>) {
        let completed_ns = self.shared.stopwatch.now_ns();
        let operation = Operation { client: self.number, key, action, invoked_ns, completed_ns, outcome };
        let version = match &operation.outcome {
            Outcome::Refused { .. } | Outcome::Unknown { .. } => None,
            _ => Some(operation.known_version()),
        };
        (operation, version)
    }

    /// Sends it one way until that is answered, or its time is over.
    async fn until_known(&mut self, key: &str, action: &Action, end: Instant, way: &Way) -> Outcome {
        let mut may_be_executed = false;
        loop {
            let told = match self.send(key, action, way).await {
                Said::Answer(outcome) => return outcome,
                Said::Refused(told) => return ended(may_be_executed, told),
                Said::NotExecuted(told) => told,
                Said::MayBeExecuted(told) => {
                    may_be_executed = true;
                    told
                }
            };
            if Instant::now() > end {
                return ended(may_be_executed, told);
            }
            self.move_on();
            sleep(PAUSE).await;
        }
    }

    pub(super) fn move_on(&mut self) {
        self.node = (self.node + 1) % self.connections.len();
    }

    async fn send(&mut self, key: &str, action: &Action, way: &Way) -> Said {
        let node = self.node;
        let client = match self.connection(node).await {
            Ok(client) => client,
            // Nothing has been sent.
            Err(error) => return Said::NotExecuted(error.to_string()),
        };
        let answer = match way {
            Way::Plain { request, ttl_ms } => ask(&client, key, action, request, *ttl_ms).await,
            Way::Call(call) => call::execute(&client, call.as_ref().clone()).await,
        };
        match answer {
            Ok(outcome) => Said::Answer(outcome),
            Err(error) => {
                let said = judge(action, &error);
                if !matches!(said, Said::Answer(_)) {
                    // It may be the connection's fault; the next one is made anew.
                    self.connections[node] = None;
                }
                said
            }
        }
    }

    async fn connection(&mut self, node: usize) -> Result<dspex_api::Client, ApiError> {
        if let Some(client) = &self.connections[node] {
            return Ok(client.clone());
        }
        let attempt = self.shared.traffic.attempt;
        let client = self.target.doors()[node].connect(limits(attempt / 2, attempt)).await?;
        self.connections[node] = Some(client.clone());
        Ok(client)
    }
}

async fn ask(
    client: &dspex_api::Client,
    key: &str,
    action: &Action,
    request: &RequestId,
    ttl_ms: Option<u64>,
) -> Result<Outcome, ApiError> {
    let (request_id, session_id) = (Some(request.clone()), key.to_owned());
    match action {
        Action::Get => {
            let get = GetSessionRequest { session_id, freshness: Freshness::Linearizable.into(), version: None };
            client.session(get).await.map(|session| found(&session))
        }
        Action::Create { value } => {
            let data = [(NAME.to_owned(), json(value))].into();
            let create = CreateSessionRequest { request_id, session_id, data, ttl_ms };
            client.create_session(create).await.map(|written| Outcome::Written { version: written.version })
        }
        Action::Update { expected_version, value } => {
            let update = UpdateSessionRequest {
                request_id,
                session_id,
                expected_version: *expected_version,
                replace: true,
                removed: Vec::new(),
                set: [(NAME.to_owned(), json(value))].into(),
                ttl_ms: None,
            };
            client.update_session(update).await.map(|written| Outcome::Written { version: written.version })
        }
        Action::Delete { expected_version } => {
            let delete = DeleteSessionRequest { request_id, session_id, expected_version: *expected_version };
            client.delete_session(delete).await.map(|()| Outcome::Deleted)
        }
    }
}

/// Sessions hold JSON; our values have nothing in them that it would escape.
fn json(value: &str) -> String {
    format!("\"{value}\"")
}

fn found(session: &Session) -> Outcome {
    let value = session.data.get(NAME).map(String::as_str).unwrap_or_default();
    Outcome::Found { version: session.version, value: value.trim_matches('"').to_owned() }
}
