//! A connection to a member of etcd: a key is a key.

use prost::bytes::Bytes;
use tonic::Status;
use tonic::transport::Channel;

use crate::system::View;
use v3::kv_client::KvClient;
use v3::maintenance_client::MaintenanceClient;
use v3::{MoveLeaderRequest, PutRequest, RangeRequest, StatusRequest};

// Generated from tests/proto/etcd.proto, which says what they mean.
#[allow(missing_docs, unused_qualifications, clippy::all)]
mod v3 {
    tonic::include_proto!("etcdserverpb");
}

#[derive(Clone)]
pub struct Connection {
    keys: KvClient<Channel>,
    maintenance: MaintenanceClient<Channel>,
}

impl Connection {
    pub fn new(channel: Channel) -> Self {
        Self { keys: KvClient::new(channel.clone()), maintenance: MaintenanceClient::new(channel) }
    }

    pub async fn write(&self, key: &str, value: &str) -> Result<(), Status> {
        let request = PutRequest { key: bytes(key), value: bytes(value) };
        self.keys.clone().put(request).await?;
        Ok(())
    }

    pub async fn read(&self, key: &str, linearizable: bool) -> Result<(), Status> {
        let request = RangeRequest { key: bytes(key), serializable: !linearizable };
        let found = self.keys.clone().range(request).await?.into_inner().kvs;
        if found.is_empty() { Err(Status::not_found("the key is not there")) } else { Ok(()) }
    }

    pub async fn view(&self) -> Result<View, Status> {
        let status = self.maintenance.clone().status(StatusRequest {}).await?.into_inner();
        let own = status.header.map(|header| header.member_id).unwrap_or_default();
        Ok(View { own, leader: status.leader, applied: status.raft_applied_index })
    }

    pub async fn transfer(&self, to: u64) -> Result<(), Status> {
        self.maintenance.clone().move_leader(MoveLeaderRequest { target_id: to }).await?;
        Ok(())
    }
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}
