//! What must hold whatever happens. One file an invariant; each sees every event and says when it is broken.

mod acknowledged_writes_survive;
mod blobs_readable;
mod committed_entries_survive;
mod lease_reads_are_bounded;
mod log_matching;
mod log_time;
mod nodes_stay_usable;
mod one_leader_per_term;
mod reads_are_linearizable;
mod requests_execute_once;
mod session_versions_rise;
mod states_agree;
mod votes_never_go_back;

use crate::committed::Committed;
use crate::observer::Seen;

/// A promise.
pub(crate) trait Invariant: Send {
    /// The name of its file.
    fn name(&self) -> &'static str;

    /// Looks at an event; fails with what is wrong. What was seen first may be what broke it.
    fn see(&mut self, seen: &Seen<'_>, committed: &Committed) -> Result<(), String>;
}

/// All of them, those about the cause of trouble before those about its effects.
pub(crate) fn all() -> Vec<Box<dyn Invariant>> {
    vec![
        Box::<votes_never_go_back::VotesNeverGoBack>::default(),
        Box::<one_leader_per_term::OneLeaderPerTerm>::default(),
        Box::<log_matching::LogMatching>::default(),
        Box::<committed_entries_survive::CommittedEntriesSurvive>::default(),
        Box::<states_agree::StatesAgree>::default(),
        Box::<blobs_readable::BlobsReadable>::default(),
        Box::<requests_execute_once::RequestsExecuteOnce>::default(),
        Box::<session_versions_rise::SessionVersionsRise>::default(),
        Box::<acknowledged_writes_survive::AcknowledgedWritesSurvive>::default(),
        Box::<reads_are_linearizable::ReadsAreLinearizable>::default(),
        Box::<lease_reads_are_bounded::LeaseReadsAreBounded>::default(),
        Box::<log_time::LogTime>::default(),
        Box::<nodes_stay_usable::NodesStayUsable>::default(),
    ]
}
