//! The simulated network.

use std::cell::RefCell;

use super::NodeId;
use super::faults::NetFaults;

#[derive(Default)]
pub(crate) struct Network {
    faults: RefCell<NetFaults>,
}

impl Network {
    pub(super) fn change_faults(&self, change: impl FnOnce(&mut NetFaults)) {
        change(&mut self.faults.borrow_mut());
    }

    pub(super) fn end_node(&self, _node: NodeId) {}
}
