//! Finds the processes of the same cluster by multicast, over IPv4 and IPv6.
//!
//! A process says hello on every interface when it starts, soon again, and then every few seconds; who hears it for the
//! first time answers. Whom it finds the tunnel calls. Packets are not secret and prove nothing: who is there is proved
//! by the link. What cannot be done here is no error: static peers, and whom they know, remain.

mod packet;
mod places;
mod sockets;

use super::config::{Scouting, ZenohConfig};
use super::tunnel::{Handle, PeerId, Shared};
use crate::links::ForeignCluster;
use exo_identity::Identity;
use packet::{ClusterTag, Kind, NamespaceTag, Packet, namespace_tag};
use places::Places;
use sockets::Sockets;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// When hellos follow one another at first, in milliseconds; the last goes on for ever. Who starts is heard at once; the
/// steady hellos only bring networks together that were cut apart.
const PAUSES_MS: [u64; 6] = [100, 300, 1000, 3000, 3000, 10_000];
/// Interfaces come and go; looked after so often.
const RESCAN: Duration = Duration::from_secs(12);
/// A process that answered keeps quiet for so long.
const ANSWER_PAUSE: Duration = Duration::from_secs(30);
/// Processes remembered; beyond that the memory starts anew.
const PEERS: usize = 4096;
/// Other clusters that are told of.
const FOREIGN: usize = 16;

/// Starts it; dropping the set ends it.
pub(super) fn start(
    settings: &ZenohConfig,
    id: PeerId,
    bound: Vec<SocketAddr>,
    tunnel: Handle,
    shared: Arc<Shared>,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    if let Scouting::Multicast { port } = settings.scouting {
        let scout = Scout {
            namespace: namespace_tag(&settings.identity.namespace()),
            cluster: cluster_tag(&settings.identity),
            id,
            places: Places::new(settings, bound),
            sockets: Sockets::new(settings, port),
            identity: settings.identity.clone(),
            tunnel,
            shared,
            answered: BTreeMap::new(),
            foreign: BTreeSet::new(),
        };
        tasks.spawn(scout.run());
    }
    tasks
}

fn cluster_tag(identity: &Identity) -> ClusterTag {
    let cluster = identity.cluster();
    std::array::from_fn(|at| cluster.as_bytes()[at])
}

struct Scout {
    namespace: NamespaceTag,
    cluster: ClusterTag,
    id: PeerId,
    places: Places,
    sockets: Sockets,
    identity: Identity,
    tunnel: Handle,
    /// Where what is found is told.
    shared: Arc<Shared>,
    answered: BTreeMap<PeerId, Instant>,
    foreign: BTreeSet<ClusterTag>,
}

impl Scout {
    async fn run(mut self) {
        let mut hellos = 0;
        let (mut next_hello, mut next_scan) = (Instant::now(), Instant::now());
        loop {
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(next_hello) => {
                    if Instant::now() >= next_scan {
                        self.sockets.rescan();
                        next_scan = Instant::now() + RESCAN;
                    }
                    self.say_hello().await;
                    let pause = PAUSES_MS[hellos.min(PAUSES_MS.len() - 1)];
                    next_hello = Instant::now() + Duration::from_millis(pause);
                    hellos += 1;
                }
                Some((bytes, from)) = self.sockets.recv() => self.on_packet(&bytes, from).await,
            }
        }
    }

    async fn say_hello(&mut self) {
        for voice in self.sockets.voices() {
            if let Some(place) = self.places.seen_on(voice.address(), voice.is_loopback()) {
                voice.call(&self.packet(Kind::Hello, &place).write()).await;
            }
        }
    }

    fn packet(&self, kind: Kind, place: &places::Place) -> Packet {
        let (port, advertised) = (place.port, place.advertised);
        let (namespace, cluster, process) = (self.namespace, self.cluster, self.id);
        Packet { kind, namespace, cluster, process, port, advertised }
    }

    async fn on_packet(&mut self, bytes: &[u8], from: SocketAddr) {
        let Some(packet) = Packet::read(bytes) else {
            tracing::trace!(%from, "not a packet of ours on the discovery port");
            return;
        };
        if packet.process == self.id || packet.namespace != self.namespace {
            return;
        }
        if packet.cluster != self.cluster {
            self.on_foreign(packet.cluster, from);
            return;
        }
        let mut address = SocketAddr::new(packet.advertised.unwrap_or(from.ip()), packet.port);
        if let (SocketAddr::V6(address), SocketAddr::V6(from), None) = (&mut address, from, packet.advertised) {
            // An address that holds on one link only needs to say on which.
            address.set_scope_id(from.scope_id());
        }
        self.tunnel.heard(packet.process, address);
        if packet.kind == Kind::Hello && self.is_due(packet.process) {
            self.answer(from).await;
        }
    }

    /// Whether that process may be answered again.
    fn is_due(&mut self, process: PeerId) -> bool {
        let now = Instant::now();
        if self.answered.len() >= PEERS && !self.answered.contains_key(&process) {
            self.answered.clear();
        }
        let due = self.answered.get(&process).is_none_or(|last| now.duration_since(*last) >= ANSWER_PAUSE);
        if due {
            self.answered.insert(process, now);
        }
        due
    }

    /// Tells the person who looks why these two do not join.
    fn on_foreign(&mut self, cluster: ClusterTag, from: SocketAddr) {
        if self.foreign.len() >= FOREIGN || !self.foreign.insert(cluster) {
            return;
        }
        let cluster: String = cluster[..6].iter().map(|byte| format!("{byte:02x}")).collect();
        let found = ForeignCluster { cluster, address: from.ip().to_canonical() };
        let ours = self.identity.cluster().short();
        if self.identity.has_authority() && !self.identity.members().has_others(&self.identity.node_id()) {
            tracing::warn!(ours, "{}", found.remedy());
        } else {
            tracing::info!("another cluster, {}, is at {}; this is cluster {ours}", found.cluster, found.address);
        }
        self.shared.edit(|report| report.foreign.push(found));
    }

    async fn answer(&self, to: SocketAddr) {
        let source = self.sockets.address_towards(to);
        let place = source.and_then(|source| self.places.seen_on(source, source.is_loopback()));
        if let Some(place) = place {
            self.sockets.answer(&self.packet(Kind::Answer, &place).write(), to).await;
        }
    }
}
