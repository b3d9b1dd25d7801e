//! A connection to a node of DSPex: a key is a session with one value.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use dspex_api::Token;
use dspex_api::v1::cluster_client::ClusterClient;
use dspex_api::v1::sessions_client::SessionsClient;
use dspex_api::v1::{
    ChangeMemberRequest, ClusterStatusRequest, CreateSessionRequest, Freshness, GetSessionRequest, RequestId,
    UpdateSessionRequest,
};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::system::View;

type Transport = InterceptedService<Channel, Token>;

/// A value's name.
const NAME: &str = "value";

/// This process, as the log knows it.
static CLIENT: LazyLock<String> = LazyLock::new(|| Uuid::new_v4().to_string());

#[derive(Clone)]
pub struct Connection {
    sessions: SessionsClient<Transport>,
    cluster: ClusterClient<Transport>,
}

impl Connection {
    pub fn new(channel: Channel, token: Token) -> Self {
        let transport = InterceptedService::new(channel, token);
        Self { sessions: SessionsClient::new(transport.clone()), cluster: ClusterClient::new(transport) }
    }

    /// A session that is there already is as good.
    pub async fn create(&self, key: &str, value: &str) -> Result<(), Status> {
        let request = CreateSessionRequest {
            request_id: request_id(),
            session_id: key.to_owned(),
            data: data(value),
            ..CreateSessionRequest::default()
        };
        match self.sessions.clone().create(request).await {
            Err(status) if status.code() != Code::AlreadyExists => Err(status),
            _ => Ok(()),
        }
    }

    pub async fn write(&self, key: &str, value: &str) -> Result<(), Status> {
        let request = UpdateSessionRequest {
            request_id: request_id(),
            session_id: key.to_owned(),
            set: data(value),
            ..UpdateSessionRequest::default()
        };
        self.sessions.clone().update(request).await?;
        Ok(())
    }

    pub async fn read(&self, key: &str, linearizable: bool) -> Result<(), Status> {
        let freshness = if linearizable { Freshness::Linearizable } else { Freshness::Stale };
        let request = GetSessionRequest { session_id: key.to_owned(), freshness: freshness.into(), version: None };
        let session = self.sessions.clone().get(request).await?.into_inner();
        if session.data.contains_key(NAME) { Ok(()) } else { Err(Status::data_loss("the session has no value")) }
    }

    pub async fn view(&self) -> Result<View, Status> {
        let status = self.cluster.clone().status(ClusterStatusRequest {}).await?.into_inner();
        let own = status.members.iter().find(|member| member.node_id == status.node_id);
        let applied = own.and_then(|member| member.applied_index).unwrap_or_default();
        Ok(View { own: status.node_id, leader: status.leader_id, applied })
    }

    pub async fn transfer(&self, to: u64) -> Result<(), Status> {
        let request = ChangeMemberRequest { request_id: request_id(), member: to.to_string(), force: false };
        self.cluster.clone().transfer_leader(request).await?;
        Ok(())
    }
}

fn data(value: &str) -> BTreeMap<String, String> {
    [(NAME.to_owned(), value.to_owned())].into()
}

fn request_id() -> Option<RequestId> {
    Some(RequestId { client: CLIENT.clone(), request: Uuid::now_v7().to_string() })
}
