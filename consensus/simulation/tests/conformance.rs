//! openraft's own suite for logs and state machines passes on the simulated ones, so that a failure of a simulation is not one
//! of its disks.

#[test]
fn the_simulated_log_and_state_machine_keep_openrafts_contract() {
    dspex_simulation::check_storage().expect("the suite passes");
}
