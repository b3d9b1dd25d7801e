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
pub mod states_are_equal;
pub mod versions_rise;

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
