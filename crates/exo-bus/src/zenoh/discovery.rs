//! Finds the processes of the same namespace by multicast, over IPv4 and IPv6, and opens links to them.
//!
//! A process says hello on every interface when it starts, soon again, and then every few seconds; who hears it for the
//! first time answers. Of two, the one with the larger id opens the link; the other does when it still hears hellos
//! after a while. What cannot be done here is no error: static peers and gossip remain.

mod packet;
mod places;
mod sockets;

use super::config::{Scouting, ZenohConfig};
use packet::{Kind, NamespaceTag, Packet, namespace_tag};
use places::Places;
use sockets::Sockets;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use zenoh::config::{Locator, ZenohId};
use zenoh::internal::runtime::Runtime;

/// When hellos follow one another at first, in milliseconds; the last goes on for ever.
const PAUSES_MS: [u64; 4] = [100, 300, 1000, 3000];
/// Interfaces come and go; looked after with every so many hellos.
const RESCAN_EVERY: usize = 4;
/// A process that answered keeps quiet for so long.
const ANSWER_PAUSE: Duration = Duration::from_secs(30);
/// The lesser id leaves the first step to the greater for so long.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two attempts to reach the same process.
const DIAL_PAUSE: Duration = Duration::from_secs(2);
const DIAL_DEADLINE: Duration = Duration::from_secs(5);
/// Attempts at the same time; more than that is no cluster but a flood.
const DIALS: usize = 32;
/// Processes remembered; beyond that the memory starts anew.
const PEERS: usize = 4096;

/// Starts it; dropping the set ends it.
pub(super) fn start(settings: &ZenohConfig, runtime: &Runtime, id: ZenohId, addresses: Vec<SocketAddr>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    if let Scouting::Multicast { port } = settings.scouting {
        let scout = Scout {
            namespace: namespace_tag(&settings.namespace),
            id,
            places: Places::new(settings, addresses),
            sockets: Sockets::new(settings, port),
            runtime: runtime.clone(),
            peers: BTreeMap::new(),
            dials: JoinSet::new(),
        };
        tasks.spawn(scout.run());
    }
    tasks
}

struct Peer {
    first_seen: Instant,
    dialled: Option<Instant>,
    answered: Option<Instant>,
}

struct Scout {
    namespace: NamespaceTag,
    id: ZenohId,
    places: Places,
    sockets: Sockets,
    runtime: Runtime,
    peers: BTreeMap<[u8; 16], Peer>,
    dials: JoinSet<()>,
}

impl Scout {
    async fn run(mut self) {
        let mut hellos = 0;
        let mut next_hello = Instant::now();
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(next_hello) => {
                    if hellos % RESCAN_EVERY == 0 {
                        self.sockets.rescan();
                    }
                    self.say_hello().await;
                    let pause = PAUSES_MS[hellos.min(PAUSES_MS.len() - 1)];
                    next_hello = Instant::now() + Duration::from_millis(pause);
                    hellos += 1;
                }
                Some((bytes, from)) = self.sockets.recv() => self.on_packet(&bytes, from).await,
                Some(_) = self.dials.join_next() => {}
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
        Packet { kind, namespace: self.namespace, process: self.id.to_le_bytes(), port, advertised }
    }

    async fn on_packet(&mut self, bytes: &[u8], from: SocketAddr) {
        let Some(packet) = Packet::read(bytes) else {
            tracing::trace!(%from, "not a packet of ours on the discovery port");
            return;
        };
        let own = packet.process == self.id.to_le_bytes();
        if own || packet.namespace != self.namespace {
            return;
        }
        let now = Instant::now();
        if self.peers.len() >= PEERS && !self.peers.contains_key(&packet.process) {
            self.peers.clear();
        }
        let new = Peer { first_seen: now, dialled: None, answered: None };
        let peer = self.peers.entry(packet.process).or_insert(new);
        let past = |instant: Option<Instant>, pause| instant.is_none_or(|instant| now - instant >= pause);
        let answers = packet.kind == Kind::Hello && past(peer.answered, ANSWER_PAUSE);
        let our_turn = self.id.to_le_bytes() > packet.process || now - peer.first_seen >= PATIENCE;
        let dials = our_turn && past(peer.dialled, DIAL_PAUSE) && self.dials.len() < DIALS;
        if answers {
            peer.answered = Some(now);
        }
        if dials {
            peer.dialled = Some(now);
            self.dial(&packet, from);
        }
        if answers {
            self.answer(from).await;
        }
    }

    async fn answer(&self, to: SocketAddr) {
        let place = sockets::source_towards(to).and_then(|source| self.places.seen_on(source, source.is_loopback()));
        if let Some(place) = place {
            self.sockets.answer(&self.packet(Kind::Answer, &place).write(), to).await;
        }
    }

    /// Does nothing if there is a link already.
    fn dial(&mut self, packet: &Packet, from: SocketAddr) {
        let mut address = from;
        address.set_port(packet.port);
        if let Some(advertised) = packet.advertised {
            address = SocketAddr::new(advertised, packet.port);
        }
        let (Ok(id), Ok(locator)) =
            (ZenohId::try_from(packet.process.as_slice()), format!("tcp/{address}").parse::<Locator>())
        else {
            return;
        };
        let runtime = self.runtime.clone();
        self.dials.spawn(async move {
            let (peer, locators) = (id.into(), [locator]);
            let connected = tokio::time::timeout(DIAL_DEADLINE, runtime.connect_peer(&peer, &locators)).await;
            tracing::debug!(peer = %id, %address, connected = connected.unwrap_or(false), "discovered");
        });
    }
}
