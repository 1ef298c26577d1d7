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

/// Addresses at which one node reaches another: each once, in order. Nearly always one, and there is one of these for
/// every two nodes, so that it takes no more than it holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "BTreeSet<String>")]
pub struct Addresses(Vec<String>);

impl Addresses {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// False if it was there.
    fn insert(&mut self, address: &str) -> bool {
        let Err(place) = self.place_of(address) else { return false };
        self.0.reserve_exact(1);
        self.0.insert(place, address.to_owned());
        true
    }

    /// False if it was not there.
    fn remove(&mut self, address: &str) -> bool {
        let Ok(place) = self.place_of(address) else { return false };
        self.0.remove(place);
        true
    }

    fn place_of(&self, address: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|known| known.as_str().cmp(address))
    }
}

impl From<BTreeSet<String>> for Addresses {
    fn from(addresses: BTreeSet<String>) -> Self {
        let mut all = Vec::with_capacity(addresses.len());
        all.extend(addresses);
        Self(all)
    }
}

impl<'a> IntoIterator for &'a Addresses {
    type Item = &'a String;
    type IntoIter = std::slice::Iter<'a, String>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// The nodes, and the ways between them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Topology {
    /// All nodes.
    pub nodes: BTreeSet<NodeId>,
    /// Source, sink, addresses of the sink.
    pub connections: BTreeMap<NodeId, BTreeMap<NodeId, Addresses>>,
}

impl Topology {
    /// Adds the way and its ends; false if it was there.
    pub fn connect(&mut self, connection: &Connection) -> bool {
        self.nodes.insert(connection.source.clone());
        self.nodes.insert(connection.sink.clone());
        let sinks = self.connections.entry(connection.source.clone()).or_default();
        sinks.entry(connection.sink.clone()).or_default().insert(&connection.sink_address)
    }

    /// Removes one direction of one way; false if it was not there.
    pub fn disconnect(&mut self, connection: &Connection) -> bool {
        let Some(sinks) = self.connections.get_mut(&connection.source) else { return false };
        let Some(addresses) = sinks.get_mut(&connection.sink) else { return false };
        let removed = addresses.remove(&connection.sink_address);
        if addresses.is_empty() {
            sinks.remove(&connection.sink);
        }
        if sinks.is_empty() {
            self.connections.remove(&connection.source);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> NodeId {
        NodeId::new(name).expect("a good id")
    }

    fn way(source: &str, sink: &str, address: &str) -> Connection {
        Connection { source: node(source), sink: node(sink), sink_address: address.to_owned() }
    }

    #[test]
    fn ways_are_kept_once_and_in_one_direction() {
        let mut topology = Topology::default();
        assert!(topology.connect(&way("a", "b", "10.0.0.2")));
        assert!(!topology.connect(&way("a", "b", "10.0.0.2")));
        assert!(topology.connect(&way("a", "b", "fd00::2")));
        assert_eq!(topology.addresses(&node("a"), &node("b")).collect::<Vec<_>>(), ["10.0.0.2", "fd00::2"]);
        assert_eq!(topology.addresses(&node("b"), &node("a")).count(), 0);
    }

    #[test]
    fn addresses_are_read_in_any_order() {
        let text = r#"{"nodes":["a","b"],"connections":{"a":{"b":["fd00::2","10.0.0.2","fd00::2"]}}}"#;
        let mut topology: Topology = serde_json::from_str(text).expect("reads");
        let written = serde_json::to_string(&topology).expect("writes");
        assert_eq!(written, r#"{"nodes":["a","b"],"connections":{"a":{"b":["10.0.0.2","fd00::2"]}}}"#);
        assert!(!topology.connect(&way("a", "b", "fd00::2")));
        assert!(topology.disconnect(&way("a", "b", "fd00::2")));
        assert!(!topology.disconnect(&way("a", "b", "fd00::2")));
        assert_eq!(topology.addresses(&node("a"), &node("b")).collect::<Vec<_>>(), ["10.0.0.2"]);
    }

    #[test]
    fn what_is_disconnected_leaves_nothing_empty_behind() {
        let mut topology = Topology::default();
        topology.connect(&way("a", "b", "10.0.0.2"));
        assert!(!topology.disconnect(&way("b", "a", "10.0.0.1")));
        assert!(topology.disconnect(&way("a", "b", "10.0.0.2")));
        assert!(topology.connections.is_empty());
        assert_eq!(topology.nodes.len(), 2);
    }

    #[test]
    fn a_removed_node_is_neither_source_nor_sink() {
        let mut topology = Topology::default();
        for (source, sink) in [("a", "b"), ("b", "a"), ("b", "c")] {
            topology.connect(&way(source, sink, "10.0.0.9"));
        }
        topology.remove(&node("a"));
        assert_eq!(topology.connections.len(), 1);
        assert_eq!(topology.addresses(&node("b"), &node("c")).count(), 1);
        topology.remove(&node("c"));
        assert!(topology.connections.is_empty());
    }
}
