//! A network inside one process, for tests: delays, loss, repetition and partitions from one seed.

mod network;
mod queue;
mod transport;

use crate::bus::Bus;
use crate::error::BusError;
use crate::names::ProcessId;
use exo_types::NodeId;
use network::Network;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;
use transport::MemoryTransport;

/// What goes wrong between two processes. Inside one process nothing does.
#[derive(Debug, Clone)]
pub struct Faults {
    /// How long a message takes, drawn evenly.
    pub delay: RangeInclusive<Duration>,
    /// Share of messages, questions and answers that never arrive: 0 to 1.
    pub loss: f64,
    /// Share of messages that arrive twice: 0 to 1.
    pub duplication: f64,
    /// Lets a message overtake an earlier one of the same sender.
    pub reorder: bool,
}

impl Default for Faults {
    fn default() -> Self {
        Self { delay: Duration::ZERO..=Duration::ZERO, loss: 0.0, duplication: 0.0, reorder: false }
    }
}

/// A network of simulated processes. The same seed and the same calls give the same course of events, on a tokio
/// runtime of one thread with paused time.
#[derive(Clone)]
pub struct MemoryNetwork {
    network: Arc<Network>,
}

impl MemoryNetwork {
    /// A network without faults.
    pub fn new(seed: u64) -> Self {
        Self { network: Arc::new(Network::new(seed)) }
    }

    /// A new process of `node`. Call it on a tokio runtime that lives as long as the network is used.
    pub async fn join(&self, node: NodeId) -> Result<Bus, BusError> {
        self.network.start_delivery();
        let process = self.network.add_process(node.clone());
        Bus::join(node, process, Arc::new(MemoryTransport::new(self.network.clone(), process))).await
    }

    /// Sets what goes wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.network.set_faults(faults);
    }

    /// Cuts two nodes off from each other. Each sees the other leave once the lease (3 s) has passed.
    pub fn partition(&self, a: &NodeId, b: &NodeId) {
        self.network.partition(a, b);
    }

    /// Joins them again; each sees the other at once.
    pub fn heal(&self, a: &NodeId, b: &NodeId) {
        self.network.heal(a, b);
    }

    /// Ends a process as `kill -9` would: it is not asked, the others see it leave at once.
    pub fn kill(&self, process: ProcessId) {
        self.network.remove_process(process);
    }
}
