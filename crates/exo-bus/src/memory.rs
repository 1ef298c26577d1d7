//! A network inside one process, for tests: delays, loss, repetition and partitions from one seed.

mod network;
mod queue;
mod transport;

use crate::bus::Bus;
use crate::envelope::Envelope;
use crate::error::BusError;
use crate::keys;
use crate::names::{Message, PresenceKind, ProcessId};
use crate::presence;
use bytes::Bytes;
use exo_types::NodeId;
use network::{Network, Watcher};
use serde::de::DeserializeOwned;
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

/// A message that sets out.
#[derive(Debug)]
pub struct Sent<'a> {
    /// Who sends.
    pub from: ProcessId,
    /// Who is to get it.
    pub to: ProcessId,
    /// The key that it goes to; for answers and presences what they are.
    pub key: &'a str,
    /// What it is; a presence is all in its key.
    pub bytes: &'a [u8],
    /// How many arrive: 0 when it is lost.
    pub copies: usize,
}

impl Sent<'_> {
    /// The body, if that is what it is.
    pub fn read<T: DeserializeOwned>(&self) -> Option<T> {
        Envelope::parse(Bytes::copy_from_slice(self.bytes)).ok()?.decode().ok()
    }

    /// Who announces what, if it is an announcement of that kind.
    pub fn announcement<P: Message>(&self, kind: PresenceKind<P>) -> Option<(NodeId, P)> {
        let of_kind = self.key.strip_prefix(&keys::presence(kind.name()))?.starts_with('/');
        if of_kind { presence::read(self.key) } else { None }
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

    /// Cuts two nodes off from each other. Each sees the other leave once the lease (2 s) has passed.
    pub fn partition(&self, a: &NodeId, b: &NodeId) {
        self.network.partition(a, b);
    }

    /// Joins them again; each sees the other at once.
    pub fn heal(&self, a: &NodeId, b: &NodeId) {
        self.network.heal(a, b);
    }

    /// Cuts one direction: what `from` sends does not reach `to`, which sees it leave once the lease has passed.
    pub fn cut(&self, from: &NodeId, to: &NodeId) {
        self.network.cut(from, to);
    }

    /// Joins all that was cut or partitioned.
    pub fn heal_all(&self) {
        self.network.heal_all();
    }

    /// Ends a process as `kill -9` would: it is not asked, the others see it leave at once.
    pub fn kill(&self, process: ProcessId) {
        self.network.remove_process(process);
    }

    /// Ends a process as the loss of its machine would: the others miss it only when the lease has passed.
    pub fn vanish(&self, process: ProcessId) {
        self.network.vanish(process);
    }

    /// Shows everything that sets out from now on. `watcher` is called within the network and must not use it.
    pub fn on_sent(&self, watcher: impl Fn(&Sent<'_>) + Send + 'static) {
        let watcher: Watcher = Box::new(watcher);
        self.network.set_watcher(watcher);
    }
}
