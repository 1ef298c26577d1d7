//! Looks at the machine, its models and its neighbours, each in a task of its own.

mod hardware;

use crate::cause::Cause;
use exo_models::{Finding, ModelStore};
use exo_node::View;
use exo_types::{Connection, Memory, NodeId};
pub(crate) use hardware::watch_hardware;
use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// Between two looks at the memory; what is told is decided by the plan.
const RESOURCES_PERIOD: Duration = Duration::from_secs(5);

/// Between two looks into the model directories.
const MODELS_PERIOD: Duration = Duration::from_secs(10);

/// A directory that does not answer by then (a network disk) is looked at again later.
const SCAN_DEADLINE: Duration = Duration::from_secs(60);

/// Between two looks at the same neighbours.
const PEERS_PERIOD: Duration = Duration::from_secs(30);

/// An address that does not answer by then leads nowhere.
const REACH_DEADLINE: Duration = Duration::from_secs(1);

/// Addresses that are tried of one node.
const ADDRESSES_TRIED: usize = 8;

/// Tells what memory is left beside `reserve`, for as long as somebody listens.
pub(crate) async fn watch_resources(reserve: Memory, causes: mpsc::Sender<Cause>) {
    let mut ticks = ticks(RESOURCES_PERIOD);
    loop {
        ticks.tick().await;
        if causes.send(Cause::Resources(exo_hardware::resources(reserve))).await.is_err() {
            return;
        }
    }
}

/// Tells which models there are. Every file that is passed over is logged once.
pub(crate) async fn watch_models(mut store: ModelStore, causes: mpsc::Sender<Cause>) {
    let mut logged = BTreeSet::new();
    let mut ticks = ticks(MODELS_PERIOD);
    loop {
        ticks.tick().await;
        let mut scanning = tokio::task::spawn_blocking(move || (store.scan(), store));
        let scanned = loop {
            match timeout(SCAN_DEADLINE, &mut scanning).await {
                Ok(scanned) => break scanned,
                Err(_) => tracing::warn!("the model directories do not answer; is a network disk away?"),
            }
        };
        // Only a panic or the end of the runtime ends a scan otherwise.
        let Ok((scan, back)) = scanned else { return };
        store = back;
        log_new(&mut logged, scan.findings);
        if causes.send(Cause::Models(scan.models)).await.is_err() {
            return;
        }
    }
}

fn log_new(logged: &mut BTreeSet<Finding>, findings: Vec<Finding>) {
    let findings: BTreeSet<_> = findings.into_iter().collect();
    for finding in findings.difference(logged) {
        tracing::warn!(path = %finding.path.display(), "not a model: {finding}");
    }
    *logged = findings;
}

/// Tells at which of their addresses the other nodes answer: when somebody comes or goes, and now and then.
pub(crate) async fn watch_peers(own: Neighbourhood, mut view: watch::Receiver<View>, causes: mpsc::Sender<Cause>) {
    let mut ticks = ticks(PEERS_PERIOD);
    let mut known = Vec::new();
    loop {
        let candidates = own.candidates(&view.borrow_and_update());
        if candidates != known {
            known = candidates;
            ticks.reset_immediately();
        }
        tokio::select! {
            biased;
            changed = view.changed() => if changed.is_err() { return },
            _ = ticks.tick() => {
                let reached = own.reach(known.clone()).await;
                if causes.send(Cause::Connections(reached)).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Where this node stands among the others.
pub(crate) struct Neighbourhood {
    pub(crate) node_id: NodeId,
    /// Its own addresses: at these it would only reach itself.
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) loopback_only: bool,
    /// Ports of the bus.
    pub(crate) ports: Vec<u16>,
}

impl Neighbourhood {
    fn candidates(&self, view: &View) -> Vec<Connection> {
        let others = view.state.node_identities.iter().filter(|(node, _)| **node != self.node_id);
        let ways = others.flat_map(|(node, info)| {
            let usable = info.addresses.iter().filter(|address| self.is_usable(address)).take(ADDRESSES_TRIED);
            usable.map(|address| Connection {
                source: self.node_id.clone(),
                sink: node.clone(),
                sink_address: address.clone(),
            })
        });
        ways.collect()
    }

    fn is_usable(&self, address: &str) -> bool {
        let Ok(address) = address.parse::<IpAddr>() else { return false };
        if self.loopback_only {
            address.is_loopback()
        } else {
            !address.is_loopback() && !self.addresses.contains(&address)
        }
    }

    async fn reach(&self, candidates: Vec<Connection>) -> BTreeSet<Connection> {
        let mut tries = JoinSet::new();
        for connection in candidates {
            let ports = self.ports.clone();
            tries.spawn(async move { answers(&connection.sink_address, &ports).await.then_some(connection) });
        }
        let mut reached = BTreeSet::new();
        while let Some(tried) = tries.join_next().await {
            reached.extend(tried.ok().flatten());
        }
        reached
    }
}

/// Whether a machine answers at the address. A refusal is an answer: its ports are its own choice.
async fn answers(address: &str, ports: &[u16]) -> bool {
    let Ok(address) = address.parse::<IpAddr>() else { return false };
    for port in ports {
        match timeout(REACH_DEADLINE, TcpStream::connect(SocketAddr::new(address, *port))).await {
            Ok(Ok(_)) => return true,
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => return true,
            Ok(Err(_)) | Err(_) => {}
        }
    }
    false
}

fn ticks(period: Duration) -> tokio::time::Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

#[cfg(test)]
mod tests {
    use super::*;
    use exo_state::State;
    use exo_types::NodeInfo;
    use std::sync::Arc;

    fn node(name: &str) -> NodeId {
        NodeId::new(name).expect("a good id")
    }

    fn view(nodes: &[(&str, &[&str])]) -> View {
        let mut state = State::default();
        for (name, addresses) in nodes {
            let info = NodeInfo {
                friendly_name: (*name).to_owned(),
                version: String::new(),
                os: String::new(),
                cpu: exo_types::CpuInfo::default(),
                addresses: addresses.iter().map(|address| (*address).to_owned()).collect(),
                api_port: None,
            };
            state.node_identities.insert(node(name), info);
        }
        View { state: Arc::new(state), ..View::default() }
    }

    #[test]
    fn only_addresses_that_lead_to_somebody_else_are_tried() {
        let check = |loopback_only: bool, expect: &[&str]| {
            let addresses = vec!["172.17.0.1".parse().expect("an address")];
            let own = Neighbourhood { node_id: node("a"), addresses, loopback_only, ports: vec![] };
            let view = view(&[("a", &["10.0.0.1"]), ("b", &["10.0.0.2", "172.17.0.1", "127.0.0.1", "no address"])]);
            let found: Vec<_> = own.candidates(&view).into_iter().map(|way| way.sink_address).collect();
            assert_eq!(found, expect);
        };
        check(false, &["10.0.0.2"]);
        check(true, &["127.0.0.1"]);
    }

    #[tokio::test]
    async fn a_refusal_is_an_answer() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        assert!(answers("127.0.0.1", &[port]).await);
        drop(listener);
        assert!(answers("127.0.0.1", &[port]).await);
        assert!(!answers("127.0.0.1", &[]).await);
        assert!(!answers("nowhere", &[port]).await);
    }
}
