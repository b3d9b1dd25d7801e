//! Tasks that live and die together: those of one node.

use std::collections::BTreeSet;

use crate::core::Core;
use crate::task::TaskId;

/// Names the tasks of one node. [`Group::WORLD`] is what lies between nodes, and is never killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group(pub u64);

impl Group {
    /// Clients, cables, faults.
    pub const WORLD: Self = Self(0);
}

/// Which groups are halted, and who waits for their end.
#[derive(Debug, Default)]
pub(crate) struct Halted {
    pub(crate) groups: BTreeSet<Group>,
    /// Woken tasks of halted groups.
    pub(crate) tasks: BTreeSet<TaskId>,
}

/// Ends every task of a group: they are dropped between two polls, and nothing more happens in them. A task that ends its own
/// group is dropped when it next waits.
pub fn kill(group: Group) {
    let core = Core::current();
    resume(group);
    let dropped = core.remove(group);
    // Outside of any lock: what is dropped may wake others.
    drop(dropped);
}

/// Halts a group: its tasks do not go on, while time and messages do.
pub fn pause(group: Group) {
    Core::current().pause(group);
}

/// Lets a halted group go on.
pub fn resume(group: Group) {
    Core::current().resume(group);
}
