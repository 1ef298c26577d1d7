//! Every link of the bus runs through here: TLS with certificates of the cluster on both sides, and zenoh's bytes in it.
//!
//! ```text
//! zenoh ─local socket─▶ tunnel ═TLS over TCP═▶ tunnel ─local socket─▶ zenoh
//! ```
//! zenoh itself listens on a socket in a private directory only, and never calls anybody but through one. Once TLS has
//! shown which node is there, both sides say which process they are and where they can be reached, the side with the
//! larger id decides whether the link is wanted, and from then on zenoh's bytes pass. Whom one knows the other is told,
//! so that processes that each know one other all meet.

mod accept;
mod addresses;
mod dial;
mod driver;
mod frame;
mod handshake;
mod hello;
mod pipe;
mod table;

pub(super) use driver::{Driver, Handle};

use super::config::ZenohConfig;
use crate::error::BusError;
use crate::links::LinkReport;
use crate::names::ProcessId;
use addresses::own_addresses;
use exo_identity::{BUS, CryptoError, Identity};
use hello::{Hello, Place};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tempfile::TempDir;
use tokio_rustls::rustls::{ClientConfig, ServerConfig};
use zenoh::internal::runtime::Runtime;

/// One life of one process, as zenoh knows it.
pub(super) type PeerId = [u8; 16];

/// A caller that has not shown who it is by then is disconnected; so is one that does not answer.
const HANDSHAKE: Duration = Duration::from_secs(3);

/// The private directory with the local sockets; gone with the last holder.
pub(super) struct Nook(TempDir);

impl Nook {
    /// In the system's directory for such things: a socket's path must be short.
    pub fn new() -> Result<Self, BusError> {
        let made = tempfile::Builder::new().prefix("exo-bus-").tempdir();
        // Mode 0700 is what a temporary directory has.
        made.map(Self).map_err(|error| BusError::Transport {
            action: "make a directory for its local sockets",
            reason: format!("{error}; check TMPDIR"),
        })
    }

    /// Where zenoh listens.
    pub fn listener(&self) -> PathBuf {
        self.0.path().join("z")
    }

    /// Where it is to call for link `number`.
    fn caller(&self, number: u64) -> PathBuf {
        self.0.path().join(number.to_string())
    }
}

/// What all links of a process share.
pub(super) struct Shared {
    identity: Identity,
    own: PeerId,
    nook: Nook,
    zenoh: Runtime,
    bound: Vec<SocketAddr>,
    advertise: Option<std::net::IpAddr>,
    loopback_only: bool,
    admits_nodes: bool,
    accepts: Arc<ServerConfig>,
    admits: Arc<ServerConfig>,
    calls: Arc<ClientConfig>,
    report: Mutex<LinkReport>,
}

impl Shared {
    pub fn new(
        settings: &ZenohConfig,
        own: PeerId,
        nook: Nook,
        zenoh: Runtime,
        bound: Vec<SocketAddr>,
    ) -> Result<Self, CryptoError> {
        let identity = settings.identity.clone();
        Ok(Self {
            own,
            nook,
            zenoh,
            bound,
            advertise: settings.advertise,
            loopback_only: settings.loopback_only,
            admits_nodes: settings.admits,
            accepts: identity.server_config(BUS)?,
            admits: identity.join_server_config()?,
            calls: identity.client_config(BUS)?,
            report: Mutex::default(),
            identity,
        })
    }

    fn hello(&self) -> Hello {
        let addresses = own_addresses(&self.bound, self.advertise, self.loopback_only);
        let place = Place { id: self.own, addresses };
        Hello { node: self.identity.node_id(), place, admits: self.admits_nodes }
    }

    pub fn report(&self) -> LinkReport {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn edit(&self, change: impl FnOnce(&mut LinkReport)) {
        change(&mut self.report.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Counts a refusal, and tells it: the first of its kind for people, the others for who looks closely.
    fn refuse(&self, word: &str, from: SocketAddr, reason: &dyn std::fmt::Display) {
        let mut count = 0;
        self.edit(|report| {
            let refused = report.refused.entry(word.to_owned()).or_default();
            *refused += 1;
            count = *refused;
        });
        match count {
            1 => tracing::warn!(%from, "no link: {reason}"),
            _ => tracing::debug!(%from, count, "no link: {reason}"),
        }
    }
}

/// The half of an id that names a process on the bus.
pub(super) fn process_of(id: &PeerId) -> ProcessId {
    let mut half = [0; 8];
    half.copy_from_slice(&id[..8]);
    ProcessId(u64::from_le_bytes(half))
}
