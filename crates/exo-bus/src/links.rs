//! What can be told about the links of a process.

use crate::names::ProcessId;
use exo_types::NodeId;
use std::collections::BTreeMap;
use std::net::IpAddr;
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
    /// What went over the link.
    pub traffic: Traffic,
}

/// Bytes that the network carried, TLS and its handshakes included, the headers of TCP and IP not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// From this process.
    pub sent: u64,
    /// To it.
    pub received: u64,
}

/// Another cluster that was found, to which this node does not belong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignCluster {
    /// The beginning of its fingerprint, as [`Fingerprint::short`](exo_identity::Fingerprint::short) gives it.
    pub cluster: String,
    /// Where it was found first.
    pub address: IpAddr,
}

impl ForeignCluster {
    /// What to do, for a node that is meant to belong to it.
    pub fn remedy(&self) -> String {
        let Self { cluster, address } = self;
        format!(
            "found cluster {cluster} at {address}, and this node is not admitted there: it is alone in a cluster of its \
             own. To join, run `exo cluster token` on a node there, and `exo cluster join TOKEN` on this one"
        )
    }
}

/// How the links of a process have fared since it started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinkReport {
    /// Who is linked now.
    pub neighbours: Vec<Neighbour>,
    /// Callers that are still shaking hands.
    pub half_open: usize,
    /// What was refused, and how often: callers without a good certificate, garbage, silence, messages that cannot be
    /// read or are of a newer version, replays, events of other sessions, floods.
    pub refused: BTreeMap<String, u64>,
    /// Other clusters that were found; only the first few.
    pub foreign: Vec<ForeignCluster>,
    /// Links that ended because the machine at the other end did not answer any more.
    pub lost: u64,
    /// What went over all links since this process started, those that ended included.
    pub traffic: Traffic,
}
