//! What clients and operators are promised, one file each. A promise is checked after all faults have ended, and its finding says what was
//! looked at.
//!
//! | File | Promise | Checked at |
//! |---|---|---|
//! | `acknowledged_writes_survive` | a final read shows every acknowledged write or a later one | any cluster |
//! | `linearizable` | one order explains every answer | any cluster |
//! | `versions_rise` | versions rise by one a write, values are those written, a write happens once | any cluster |
//! | `states_are_equal` | at an equal index all nodes have the same state | any cluster |
//! | `answers_again` | after the faults every node takes writes again, within a bound | any cluster |
//! | `goes_on` | while a minority is broken the others take writes | any cluster |
//! | `calls_are_answered` | code can be called in sessions, while nodes break | where the scenario calls |
//! | `lifetimes_hold` | a session never ends early, and soon after its time | where the scenario calls |
//! | `runs_finish` | a run finishes by itself | where the scenario evaluates |
//! | `results_are_those_of_one_node` | with the score and digest that it has alone on one node | where the scenario evaluates |
//! | `results_count_once` | every example has one result that counts | where the scenario evaluates |
//! | `only_what_was_under_way_runs_again` | what had a result is not executed again | where the scenario evaluates |
//! | `memory_is_bounded` | no node grows without bound | our own |
//! | `no_defects` | no node tells of a defect of its own, or panics | our own, and answers of any |

pub mod acknowledged_writes_survive;
pub mod answers_again;
pub mod calls_are_answered;
pub mod goes_on;
pub mod lifetimes_hold;
pub mod linearizable;
pub mod memory_is_bounded;
pub mod no_defects;
pub mod only_what_was_under_way_runs_again;
pub mod results_are_those_of_one_node;
pub mod results_count_once;
pub mod runs_finish;
pub mod states_are_equal;
pub mod versions_rise;

use crate::evaluation::Account;
use crate::finding::Finding;
use crate::traffic::Recording;

/// The promises that a history alone shows.
pub fn of_history(recording: &Recording) -> Vec<Finding> {
    vec![
        acknowledged_writes_survive::check(recording),
        linearizable::check(&recording.history),
        versions_rise::check(&recording.history),
    ]
}

/// The promises of a run.
pub fn of_account(account: &Account) -> Vec<Finding> {
    vec![
        runs_finish::check(account),
        results_are_those_of_one_node::check(account),
        results_count_once::check(account),
        only_what_was_under_way_runs_again::check(account),
    ]
}
