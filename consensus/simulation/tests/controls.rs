//! Invariants that cannot be broken prove nothing: each protection is taken away once, and must be missed.

use dspex_simulation::{Mutant, Simulation, broken_by};

/// Some seeds do not come to where the protection matters.
const SEEDS: u64 = 200;

/// Runs seeds until one finds the mutant.
fn is_found(mutant: Mutant) {
    let expected = broken_by(mutant);
    for seed in 0..SEEDS {
        let Some(violation) = Simulation::new(seed).without(mutant).run().violation else { continue };
        if expected.contains(violation.invariant.as_str()) {
            eprintln!("{mutant}, seed {seed}: {violation}");
            return;
        }
    }
    panic!("{SEEDS} seeds have not missed it: {mutant}");
}

#[test]
fn entries_that_are_acknowledged_before_they_are_synced_are_lost() {
    is_found(Mutant::AcknowledgesUnsynced);
}

#[test]
fn votes_that_are_not_synced_go_back() {
    is_found(Mutant::VotesUnsynced);
}

#[test]
fn reads_without_the_read_index_are_stale() {
    is_found(Mutant::ReadsWithoutIndex);
}

#[test]
fn requests_without_their_ids_are_executed_twice() {
    is_found(Mutant::ForgetsRequests);
}

#[test]
fn a_snapshot_that_lacks_its_end_gives_another_state() {
    is_found(Mutant::InstallsTruncated);
}

#[test]
fn a_state_that_does_not_wait_for_its_log_is_taken_for_one_whose_log_has_lost_entries() {
    is_found(Mutant::AppliesUnsynced);
}

#[test]
fn a_snapshot_that_is_kept_after_its_install_is_missing_when_a_crash_comes_between() {
    is_found(Mutant::KeepsSnapshotsLate);
}

#[test]
fn a_change_of_the_members_that_nobody_finishes_stays_halfway() {
    is_found(Mutant::LeavesChangesHalfway);
}

#[test]
fn blobs_that_are_held_before_they_are_synced_are_lost() {
    is_found(Mutant::HoldsBlobsUnsynced);
}

#[test]
fn blobs_that_are_named_before_a_majority_has_them_can_be_lost() {
    is_found(Mutant::PromisesUnspread);
}

#[test]
fn blobs_that_a_restarted_node_frees_are_missing_when_a_peer_names_them() {
    is_found(Mutant::ForgetsPins);
}

#[test]
fn voters_that_come_and_go_without_copies_take_blobs_with_them() {
    is_found(Mutant::VotesWithoutCopies);
}

#[test]
fn a_log_that_ends_before_its_state_is_no_reason_not_to_start() {
    is_found(Mutant::DemandsWholeLogs);
}
