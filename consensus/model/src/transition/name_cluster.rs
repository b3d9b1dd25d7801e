//! The log gets its cluster's id, once.

use crate::record::Record;
use crate::state::Decision;
use crate::{ClusterInfo, Outcome, Rejection, State};

pub(crate) fn name_cluster(state: &State, id: &str) -> Decision {
    match state.cluster() {
        Some(cluster) if cluster.id == id => Decision::new(Outcome::Done),
        Some(_) => super::rejected(Rejection::OtherCluster),
        None => {
            let cluster = ClusterInfo { id: id.to_owned(), formed_ms: state.log_time_ms() };
            Decision::new(Outcome::Done).write(Record::Cluster(cluster))
        }
    }
}
