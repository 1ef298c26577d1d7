//! Which node reaches which.

use crate::NodeId;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A directed way from one node to another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    /// Who measured.
    pub source: NodeId,
    /// Who answered.
    pub sink: NodeId,
    /// The address at which it answered.
    pub sink_address: String,
}

/// The nodes, and the ways between them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Topology {
    /// All nodes.
    pub nodes: BTreeSet<NodeId>,
    /// Source, sink, addresses of the sink.
    pub connections: BTreeMap<NodeId, BTreeMap<NodeId, BTreeSet<String>>>,
}

impl Topology {
    /// Adds the way and its ends; false if it was there.
    pub fn connect(&mut self, connection: &Connection) -> bool {
        self.nodes.insert(connection.source.clone());
        self.nodes.insert(connection.sink.clone());
        let sinks = self.connections.entry(connection.source.clone()).or_default();
        sinks.entry(connection.sink.clone()).or_default().insert(connection.sink_address.clone())
    }

    /// Removes one direction of one way; false if it was not there.
    pub fn disconnect(&mut self, connection: &Connection) -> bool {
        let Some(sinks) = self.connections.get_mut(&connection.source) else { return false };
        let Some(addresses) = sinks.get_mut(&connection.sink) else { return false };
        let removed = addresses.remove(&connection.sink_address);
        sinks.retain(|_, addresses| !addresses.is_empty());
        self.connections.retain(|_, sinks| !sinks.is_empty());
        removed
    }

    /// Removes a node and every way from and to it.
    pub fn remove(&mut self, node: &NodeId) {
        self.nodes.remove(node);
        self.connections.remove(node);
        for sinks in self.connections.values_mut() {
            sinks.remove(node);
        }
        self.connections.retain(|_, sinks| !sinks.is_empty());
    }

    /// Addresses at which `source` reaches `sink`.
    pub fn addresses(&self, source: &NodeId, sink: &NodeId) -> impl Iterator<Item = &str> {
        let sinks = self.connections.get(source);
        sinks.and_then(|sinks| sinks.get(sink)).into_iter().flatten().map(String::as_str)
    }
}
