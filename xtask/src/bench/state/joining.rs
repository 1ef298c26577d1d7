//! A node that joins late: from nothing to the whole State, over TLS on loopback.

use anyhow::{Context, Result};
use exo_bus::{Bus, Scouting, ZenohConfig, topics};
use exo_identity::Identity;
use exo_node::{Identity as ProcessIdentity, Node, Role, SnapshotParts};
use exo_state::State;
use exo_types::{Candidate, MasterPresence, NodeId, SessionId};
use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant, SystemTime};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Nothing here takes as long on a machine that works.
const PATIENCE: Duration = Duration::from_secs(60);

/// Seconds until a node that has nothing but its certificate has this State: links, the search for the master and the
/// State in parts included. The master's place is taken by what it answers followers with.
pub fn seconds_to_join(session: &SessionId, state: State) -> Result<f64> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let seconds = runtime.block_on(join(session, state));
    runtime.shutdown_timeout(Duration::from_secs(2));
    seconds
}

async fn join(session: &SessionId, state: State) -> Result<f64> {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    let first = Identity::found(NodeId::new("master")?, "bench", SystemTime::now())?;
    let joiner = Identity::from_parts(&first.vouch(NodeId::new("joiner")?, SystemTime::now())?)?;
    let master = bus(first, port, Vec::new()).await?;
    let wanted = state.last_event_applied_idx;
    let mut serving = JoinSet::new();
    let mut asked = master.serve(topics::EVENT_LOG).await?;
    let of = session.clone();
    serving.spawn(async move {
        let mut parts = SnapshotParts::default();
        while let Ok(incoming) = asked.recv().await {
            match parts.page(&of, &state, incoming.request.part) {
                // A follower that is not answered asks again.
                Ok(page) => drop(incoming.reply(&page)),
                Err(error) => incoming.refuse(&error.to_string()),
            }
        }
    });
    let candidate = Candidate { session: session.clone(), seniority: 0, commands_seen: 0 };
    let _leads = master.announce(topics::MASTER, &MasterPresence::leading(candidate)).await?;
    let begin = Instant::now();
    let bus = bus(joiner, 0, vec![format!("127.0.0.1:{port}")]).await?;
    let identity = ProcessIdentity { node_id: bus.node().clone(), role: Role::Worker };
    let node = Node::join(&bus, identity).await?;
    let mut view = node.view();
    let current = timeout(PATIENCE, view.wait_for(|view| view.state.last_event_applied_idx == wanted)).await;
    current.context("the node did not become current")?.context("the node ended")?;
    Ok(begin.elapsed().as_secs_f64())
}

async fn bus(identity: Identity, port: u16, static_peers: Vec<String>) -> Result<Bus> {
    let config =
        ZenohConfig { port, scouting: Scouting::Off, static_peers, loopback_only: true, ..ZenohConfig::new(identity) };
    Ok(config.join().await?)
}
