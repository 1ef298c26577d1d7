//! What is known of the machine before it is judged.

use exo_config::Config;
use exo_hardware::{ClockState, Disk, Gpu, Nic, RdmaDevice};
use exo_types::{Memory, ModelCard, ModelId, NodeResources};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::SystemTime;

/// Everything that the checks go by.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) config: Config,
    /// What the configuration itself finds odd.
    pub(super) config_warnings: Vec<String>,
    /// Ports that exo listens on.
    pub(super) ports: Vec<Port>,
    /// All addresses of this machine.
    pub(super) addresses: Vec<IpAddr>,
    pub(super) now: SystemTime,
    pub(super) clock: ClockState,
    pub(super) storage: Storage,
    /// Why no runner can be started, if so.
    pub(super) runner: Option<String>,
    pub(super) resources: NodeResources,
    /// Nodes of the cluster that exo on this machine is in; nothing where it does not run.
    pub(super) nodes: Option<u64>,
    /// Models that are to be placed, as far as they are on this machine.
    pub(super) models: Vec<(ModelId, Option<ModelCard>)>,
    pub(super) limits: Limits,
    /// Static peers, and why they do not answer.
    pub(super) peers: Vec<(String, Result<(), String>)>,
    pub(super) certificate: Certificate,
    pub(super) gpus: Vec<Gpu>,
    pub(super) nics: Vec<Nic>,
    pub(super) rdma: Vec<RdmaDevice>,
}

/// Somewhere that exo listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Port {
    /// `api.port`.
    pub(super) key: &'static str,
    pub(super) address: SocketAddr,
    pub(super) state: PortState,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PortState {
    Free,
    /// By exo itself.
    HeldByExo,
    Taken,
    /// The system does not let it be opened, and says why.
    Refused(String),
}

/// Directories and files.
#[derive(Debug, Clone, Default)]
pub(super) struct Storage {
    /// Why the data directory cannot be written to.
    pub(super) data_dir: Option<String>,
    /// Other directories and files by their key, and why they cannot be read.
    pub(super) unreadable: Vec<(&'static str, PathBuf, String)>,
    /// Why the API's certificate and key cannot be used, where they are named.
    pub(super) tls: Option<String>,
    /// Directories by their key, and the mount above them that is missing.
    pub(super) missing_mounts: Vec<(&'static str, PathBuf, PathBuf)>,
    /// The disk under the data directory.
    pub(super) disk: Option<Disk>,
    /// The disk did not answer.
    pub(super) hangs: bool,
}

/// Of this process, which are those of exo where it is started in the same way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Limits {
    /// Files and sockets; nothing if there is no limit.
    pub(super) open_files: Option<u64>,
    /// Memory that may be kept from being swapped out, which RDMA needs.
    pub(super) locked_memory: Option<Memory>,
}

/// What this node proves itself by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Certificate {
    /// The node was never started.
    None,
    /// It cannot be read.
    Unreadable(String),
    /// It is there.
    Found {
        not_before: SystemTime,
        not_after: SystemTime,
        /// Whether this node can renew it itself.
        has_authority: bool,
    },
}
