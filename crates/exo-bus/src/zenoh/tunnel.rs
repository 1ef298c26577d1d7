//! Every link of the bus runs through here: TLS with certificates of the cluster on both sides, and zenoh's bytes in it.
//!
//! ```text
//! zenoh ─local socket─▶ tunnel ═TLS over TCP═▶ tunnel ─local socket─▶ zenoh
//! calls ───────────────────┘                     └───────────────────▶ calls
//! ```
//! zenoh itself listens on a socket in a private directory only, and never calls anybody but through one. Once TLS has
//! shown which node is there, both sides say which process they are and where they can be reached, the side with the
//! larger id decides whether the link is wanted, and from then on zenoh's bytes pass, and questions and answers of two
//! processes that know of each other ([`calls`]). Whom one knows the other is told, so that processes that each know one
//! other all meet.

mod accept;
mod addresses;
mod attention;
mod calls;
mod dial;
mod driver;
mod frame;
mod handshake;
mod hello;
mod line;
mod meter;
mod nook;
mod pipe;
mod pulse;
mod table;

pub(super) use attention::Attention;
pub(super) use calls::{Asked, Calls};
pub(super) use driver::{Driver, Handle};
pub(super) use nook::Nook;

use super::config::ZenohConfig;
use super::seal::{Place as SealPlace, SealError, Seals};
use super::sightings::Sightings;
use crate::links::{LinkReport, Neighbour};
use crate::names::ProcessId;
use addresses::own_addresses;
use exo_identity::{BUS, CryptoError, Identity};
use hello::{Hello, Place};
use meter::Meter;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio_rustls::rustls::{ClientConfig, ServerConfig};
use zenoh::internal::runtime::Runtime;

/// One life of one process, as zenoh knows it.
pub(super) type PeerId = [u8; 16];

/// A caller that has not shown who it is by then is disconnected; so is one that does not answer.
const HANDSHAKE: Duration = Duration::from_secs(3);

/// A machine that is there acknowledges what it gets at once, however busy its processes are; after so long without a
/// word it is gone. TCP sends what is lost again several times meanwhile.
const UNANSWERED: Duration = Duration::from_millis(900);

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
    dials: Arc<ClientConfig>,
    /// Proves who wrote what comes.
    pub seals: Seals,
    /// What goes beside zenoh.
    pub calls: Arc<Calls>,
    /// Which presences are believed.
    pub sightings: Sightings,
    report: Mutex<LinkReport>,
    neighbours: Mutex<Vec<(Neighbour, Arc<Meter>)>>,
    /// Of all links that there were.
    traffic: Arc<Meter>,
    changed: watch::Sender<()>,
    /// Which links are watched closely.
    pub attention: watch::Sender<Attention>,
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
            dials: identity.client_config(BUS)?,
            seals: Seals::new(identity.clone(), process_of(&own)),
            calls: Arc::default(),
            sightings: Sightings::new(process_of(&own)),
            report: Mutex::default(),
            neighbours: Mutex::default(),
            traffic: Arc::default(),
            changed: watch::Sender::default(),
            attention: watch::Sender::default(),
            identity,
        })
    }

    fn hello(&self) -> Hello {
        let addresses = own_addresses(&self.bound, self.advertise, self.loopback_only);
        let place = Place { id: self.own, addresses };
        Hello { node: self.identity.node_id(), place, admits: self.admits_nodes }
    }

    pub fn report(&self) -> LinkReport {
        let report = self.report.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let neighbours = self.neighbours.lock().unwrap_or_else(PoisonError::into_inner);
        let as_of_now = |(neighbour, meter): &(Neighbour, Arc<Meter>)| {
            let traffic = meter.read();
            Neighbour { traffic, ..neighbour.clone() }
        };
        let neighbours = neighbours.iter().map(as_of_now).collect();
        LinkReport { neighbours, traffic: self.traffic.read(), ..report }
    }

    fn set_neighbours(&self, neighbours: Vec<(Neighbour, Arc<Meter>)>) {
        *self.neighbours.lock().unwrap_or_else(PoisonError::into_inner) = neighbours;
        self.changed.send_replace(());
    }

    pub fn edit(&self, change: impl FnOnce(&mut LinkReport)) {
        change(&mut self.report.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.send_replace(());
    }

    /// Wakes with every change of the report but that of traffic.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Who wrote a message, and what it says, if the node that it names has written it for that place; otherwise that is
    /// counted.
    pub fn open(&self, place: SealPlace<'_>, sealed: &bytes::Bytes) -> Option<(ProcessId, bytes::Bytes)> {
        self.seals.open(place, sealed).inspect_err(|error| self.refuse_message(error)).ok()
    }

    /// Counts a message that is not taken, and tells of the first of its kind.
    pub fn refuse_message(&self, error: &SealError) {
        match self.count_refusal(error.word()) {
            1 => tracing::warn!("a message is not taken: {error}; does a member of the cluster not behave?"),
            count => tracing::debug!(count, "a message is not taken: {error}"),
        }
    }

    fn count_refusal(&self, word: &str) -> u64 {
        let mut count = 0;
        self.edit(|report| {
            let refused = report.refused.entry(word.to_owned()).or_default();
            *refused += 1;
            count = *refused;
        });
        count
    }

    /// Counts a refusal, and tells it: the first of its kind for people, the others for who looks closely.
    fn refuse(&self, word: &str, from: SocketAddr, reason: &dyn std::fmt::Display) {
        let count = self.count_refusal(word);
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
