//! Logs on disks in memory, on a network in memory, under a paused clock.

use bytes::Bytes;
use exo_log::{
    AppendError, Appended, DraftEvent, EventLog, FaultyDisk, LogOptions, LogRole, LogStanding, Member, PeerCallError,
    PeerTransport, Place, Recovered,
};
use exo_state::State;
use exo_types::{Event, EventIndex, Millis, NodeId, SessionId};
use futures::FutureExt;
use futures::future::BoxFuture;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Nothing in a test takes longer, by the paused clock.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub fn node(name: &str) -> NodeId {
    NodeId::new(name).expect("a good id")
}

pub fn session(generation: u64) -> SessionId {
    SessionId { generation, master_node_id: node("m") }
}

/// An event that changes the State and tells its number.
pub fn event(number: u64) -> DraftEvent {
    Event::SessionOpened { session: session(number), when: Millis(number) }.into()
}

pub fn events(numbers: std::ops::RangeInclusive<u64>) -> Vec<DraftEvent> {
    numbers.map(event).collect()
}

/// The numbers of the events that are in a log, in order.
pub async fn numbers(log: &EventLog) -> Vec<u64> {
    let page = log.read(EventIndex(1), usize::MAX).await.expect("nothing was purged");
    let number = |event: &exo_types::IndexedEvent| match &event.event {
        Event::SessionOpened { session, .. } => session.generation,
        other => panic!("not of a test: {other:?}"),
    };
    page.events.iter().map(number).collect()
}

/// Who reaches whom.
#[derive(Clone, Default)]
pub struct Network(Arc<Mutex<Wires>>);

#[derive(Default)]
struct Wires {
    logs: BTreeMap<NodeId, EventLog>,
    cut: BTreeSet<(NodeId, NodeId)>,
    /// The kind of request of which the next is lost.
    loses: Option<u8>,
    calls: u64,
    bytes: u64,
}

impl Network {
    pub fn plug(&self, log: &EventLog) {
        self.0.lock().expect("nobody panicked").logs.insert(log.member().node_id, log.clone());
    }

    pub fn unplug(&self, node: &NodeId) {
        self.0.lock().expect("nobody panicked").logs.remove(node);
    }

    /// Cuts or mends both directions.
    pub fn cut(&self, a: &NodeId, b: &NodeId, cut: bool) {
        self.cut_one_way(a, b, cut);
        self.cut_one_way(b, a, cut);
    }

    pub fn cut_one_way(&self, from: &NodeId, to: &NodeId, cut: bool) {
        let mut wires = self.0.lock().expect("nobody panicked");
        let way = (from.clone(), to.clone());
        if cut {
            wires.cut.insert(way)
        } else {
            wires.cut.remove(&way)
        };
    }

    /// The next request of that kind does not arrive.
    pub fn lose_next(&self, kind: u8) {
        self.0.lock().expect("nobody panicked").loses = Some(kind);
    }

    /// Whether that has happened.
    pub fn has_lost(&self) -> bool {
        self.0.lock().expect("nobody panicked").loses.is_none()
    }

    /// Calls and bytes so far.
    pub fn traffic(&self) -> (u64, u64) {
        let wires = self.0.lock().expect("nobody panicked");
        (wires.calls, wires.bytes)
    }

    pub fn end_of(&self, node: &NodeId) -> Arc<Wire> {
        Arc::new(Wire { network: self.clone(), from: node.clone() })
    }
}

/// Where a request tells its kind.
const KIND_AT: usize = 3;
/// A part of a snapshot.
pub const SNAPSHOT: u8 = 4;

/// One node's end of the network.
pub struct Wire {
    network: Network,
    from: NodeId,
}

impl PeerTransport for Wire {
    fn call(&self, to: &NodeId, request: Bytes, within: Duration) -> BoxFuture<'_, Result<Bytes, PeerCallError>> {
        let to = to.clone();
        async move {
            let reached = {
                let mut wires = self.network.0.lock().expect("nobody panicked");
                wires.calls += 1;
                wires.bytes += request.len() as u64;
                let is_cut = wires.cut.contains(&(self.from.clone(), to.clone()));
                let is_lost = wires.loses.is_some() && wires.loses == request.get(KIND_AT).copied();
                if is_lost {
                    wires.loses = None;
                }
                if is_cut || is_lost { None } else { Some(wires.logs.get(&to).cloned()) }
            };
            let Some(log) = reached else {
                tokio::time::sleep(within).await;
                return Err(PeerCallError::Timeout);
            };
            let Some(log) = log else { return Err(PeerCallError::Unreachable("nobody there".to_owned())) };
            // A hop takes its time; a network without delay hides races.
            tokio::time::sleep(Duration::from_micros(200)).await;
            let reply = log.on_peer(&self.from, request).await;
            drop(log);
            let is_cut = {
                let mut wires = self.network.0.lock().expect("nobody panicked");
                wires.bytes += reply.len() as u64;
                wires.cut.contains(&(to, self.from.clone()))
            };
            if is_cut {
                tokio::time::sleep(within).await;
                return Err(PeerCallError::Timeout);
            }
            Ok(reply)
        }
        .boxed()
    }
}

/// Some masters.
pub struct Cluster {
    pub network: Network,
    pub disks: BTreeMap<NodeId, FaultyDisk>,
    pub logs: BTreeMap<NodeId, EventLog>,
    entropy: u64,
    pub snapshot_every: u64,
}

impl Cluster {
    pub fn new(seed: u64) -> Self {
        Self {
            network: Network::default(),
            disks: BTreeMap::new(),
            logs: BTreeMap::new(),
            entropy: seed * 1000,
            snapshot_every: 2000,
        }
    }

    /// One master that leads itself.
    pub async fn of_one(seed: u64) -> Self {
        let mut cluster = Self::new(seed);
        cluster.start("a").await;
        cluster.logs[&node("a")].found(session(1), None).await.expect("founds");
        cluster.leader().await;
        cluster
    }

    /// Three masters that vote; the first one leads.
    pub async fn of_three(seed: u64) -> Self {
        let mut cluster = Self::of_one(seed).await;
        cluster.add_learner("b").await;
        cluster.add_learner("c").await;
        cluster.promote_all().await;
        cluster
    }

    pub fn options(&mut self, name: &str) -> LogOptions {
        self.entropy += 1;
        LogOptions { snapshot_every: self.snapshot_every, ..LogOptions::new(node(name), self.entropy) }
    }

    /// Opens a log on its disk, new or old.
    pub async fn start(&mut self, name: &str) -> Recovered {
        let options = self.options(name);
        let entropy = self.entropy;
        let disk = self.disks.entry(node(name)).or_insert_with(|| FaultyDisk::new(entropy)).clone();
        let place = Place::Disk(Arc::new(disk));
        let wire = self.network.end_of(&node(name));
        let (log, recovered) = EventLog::open(place, options, wire).await.expect("opens");
        self.network.plug(&log);
        self.logs.insert(node(name), log);
        recovered
    }

    /// As kill -9 does: what was written is written, what was under way is not.
    pub fn kill(&mut self, name: &str) {
        self.network.unplug(&node(name));
        self.logs.remove(&node(name));
        self.disks[&node(name)].power_cut();
    }

    pub fn log(&self, name: &str) -> &EventLog {
        &self.logs[&node(name)]
    }

    pub fn standing(&self, name: &str) -> LogStanding {
        self.log(name).standing().borrow().clone()
    }

    /// Waits until one leads that others know of too.
    pub async fn leader(&self) -> NodeId {
        within(async {
            loop {
                for (name, log) in &self.logs {
                    let standing = log.standing().borrow().clone();
                    if standing.role == LogRole::Leader && log.linearize(Duration::from_secs(1)).await.is_ok() {
                        return name.clone();
                    }
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
    }

    pub async fn add_learner(&mut self, name: &str) {
        self.start(name).await;
        self.log(name).join(session(1)).await.expect("joins");
        let leader = self.leader().await;
        let members = self.logs[&leader].standing().borrow().members.clone();
        let mut learners = members.learners;
        learners.insert(self.log(name).member());
        self.logs[&leader].set_members(members.voters, learners).await.expect("takes in");
    }

    /// Everybody who runs votes.
    pub async fn promote_all(&self) {
        let voters: BTreeSet<Member> = self.logs.values().map(EventLog::member).collect();
        self.set_voters(voters).await;
    }

    pub async fn set_voters(&self, voters: BTreeSet<Member>) {
        within(async {
            loop {
                let leader = self.leader().await;
                match self.logs[&leader].set_members(voters.clone(), BTreeSet::new()).await {
                    Ok(()) => return,
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        })
        .await;
    }

    pub async fn append(&self, numbers: std::ops::RangeInclusive<u64>) -> Result<Appended, AppendError> {
        let leader = self.leader().await;
        let log = &self.logs[&leader];
        let base = log.state().borrow().last_event_applied_idx;
        log.append(base, events(numbers)).await
    }

    /// Waits until everybody has applied that event.
    pub async fn caught_up(&self, idx: u64) {
        for log in self.logs.values() {
            applied(log, idx).await;
        }
    }

    /// Everybody's State is the same.
    pub fn check_agreement(&self) {
        let states: Vec<Arc<State>> = self.logs.values().map(|log| log.state().borrow().clone()).collect();
        for pair in states.windows(2) {
            assert_eq!(pair[0], pair[1]);
        }
    }
}

pub async fn applied(log: &EventLog, idx: u64) {
    let mut state = log.state();
    within(state.wait_for(|state| state.last_event_applied_idx >= EventIndex(idx))).await.expect("open");
}

pub async fn role(log: &EventLog, role: LogRole) {
    let mut standing = log.standing();
    within(standing.wait_for(|standing| standing.role == role)).await.expect("open");
}

pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it comes in time")
}
