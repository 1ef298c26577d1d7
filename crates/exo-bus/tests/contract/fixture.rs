//! Two ways to make a network, and what tests say to each other.

use exo_bus::{Bus, MemoryNetwork, PresenceChange, PresenceKind, Scouting, ZenohConfig};
use exo_identity::Identity;
use exo_types::NodeId;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// Long enough for a machine that does much else; nothing waits for it to pass.
pub const LONG: Duration = Duration::from_secs(20);

const MEETING: PresenceKind<String> = PresenceKind::new("meeting");

/// Makes processes that can reach each other.
pub trait Fixture {
    fn join(&self, node: &str) -> impl Future<Output = Bus>;
}

/// Two processes that know of each other.
pub async fn pair(fixture: &impl Fixture) -> (Bus, Bus) {
    let (a, b) = (fixture.join("a").await, fixture.join("b").await);
    meet(&a, &b).await;
    (a, b)
}

/// Returns once each sees what the other announces now, and so all that it declared before.
pub async fn meet(a: &Bus, b: &Bus) {
    static MEETINGS: AtomicU64 = AtomicU64::new(0);
    // An earlier meeting's token may not be gone yet.
    let number = MEETINGS.fetch_add(1, Ordering::Relaxed);
    let name = |bus: &Bus| format!("{} {number}", bus.process());
    let _a = a.announce(MEETING, &name(a)).await.expect("a announces");
    let _b = b.announce(MEETING, &name(b)).await.expect("b announces");
    for (who, whom) in [(a, b), (b, a)] {
        let mut watch = who.watch(MEETING).await.expect("watches");
        let meeting = async {
            loop {
                if let PresenceChange::Joined { payload, .. } = watch.recv().await.expect("open")
                    && payload == name(whom)
                {
                    return;
                }
            }
        };
        within(meeting).await;
    }
}

/// Fails the test instead of hanging it.
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, future).await.expect("should not take this long")
}

pub fn node(name: &str) -> NodeId {
    NodeId::new(name).expect("a good id")
}

pub struct Memory(MemoryNetwork);

impl Memory {
    pub fn new() -> Self {
        Self(MemoryNetwork::new(1))
    }
}

impl Fixture for Memory {
    async fn join(&self, name: &str) -> Bus {
        self.0.join(node(name)).await.expect("joins")
    }
}

/// The first node of a cluster.
pub fn found(name: &str) -> Identity {
    Identity::found(node(name), "lab", SystemTime::now()).expect("founds")
}

/// Another node of the same cluster.
pub fn admitted(first: &Identity, name: &str) -> Identity {
    let parts = first.vouch(node(name), SystemTime::now()).expect("the first one has the authority");
    Identity::from_parts(&parts).expect("a good identity")
}

/// Everybody knows the first one's port.
pub struct Zenoh {
    pub cluster: Identity,
    port: u16,
}

impl Zenoh {
    pub fn new() -> Self {
        Self { cluster: found("founder"), port: free_port() }
    }

    pub fn config(&self, name: &str) -> ZenohConfig {
        ZenohConfig {
            port: 0,
            scouting: Scouting::Off,
            static_peers: vec![format!("127.0.0.1:{}", self.port)],
            loopback_only: true,
            ..ZenohConfig::new(admitted(&self.cluster, name))
        }
    }
}

impl Fixture for Zenoh {
    async fn join(&self, name: &str) -> Bus {
        // The first takes the port; whoever finds it taken connects to it.
        let first = ZenohConfig { port: self.port, static_peers: Vec::new(), ..self.config(name) };
        match first.join().await {
            Ok(bus) => bus,
            Err(exo_bus::BusError::PortInUse { .. }) => self.config(name).join().await.expect("joins"),
            Err(error) => panic!("{error}"),
        }
    }
}

/// One that nobody listens on, another one each time: one that is let go may be given again at once.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
        let port = listener.local_addr().expect("bound").port();
        if GIVEN.lock().expect("nobody panicked").insert(port) {
            return port;
        }
    }
}
