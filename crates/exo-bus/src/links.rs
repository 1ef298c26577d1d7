//! What can be told about the links of a process.

use crate::names::ProcessId;
use exo_types::NodeId;
use std::collections::BTreeMap;
use std::time::SystemTime;

/// Another process that this one has a link to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbour {
    /// Its node, as its certificate says.
    pub node: NodeId,
    /// Which process.
    pub process: ProcessId,
    /// `address:port` at which it is reached, best first.
    pub addresses: Vec<String>,
    /// Whether it can let nodes into the cluster.
    pub admits: bool,
    /// When the certificate ends that it showed.
    pub certificate_ends: SystemTime,
}

/// How the links of a process have fared since it started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinkReport {
    /// Who is linked now.
    pub neighbours: Vec<Neighbour>,
    /// Callers that are still shaking hands.
    pub half_open: usize,
    /// What was refused, and how often: callers without a good certificate, garbage, silence.
    pub refused: BTreeMap<String, u64>,
}
