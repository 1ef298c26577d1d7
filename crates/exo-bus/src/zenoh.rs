//! The bus between processes, over zenoh in peer mode: every process holds a link to every other, nobody routes.
//!
//! zenoh carries keys and bytes, and never touches the network: every link runs through the [`tunnel`], which is TLS with
//! certificates of the cluster on both sides. Finding each other is ours as well ([`discovery`]), because zenoh scouts in
//! one address family only and answers everybody. The namespace stands in the discovery packet, in every certificate, and
//! before every key.

mod config;
mod discovery;
mod listen;
mod outbox;
mod own_readers;
mod seal;
mod session;
mod sightings;
mod transport;
mod tunnel;

pub use config::{Scouting, ZenohConfig};

use crate::bus::Bus;
use crate::error::BusError;
use crate::names::ProcessId;
use std::sync::Arc;
use transport::{Links, ZenohTransport};

impl ZenohConfig {
    /// Opens the way for others and joins. Returns once this process listens; who is there comes by presence.
    ///
    /// The runtime that this is called on must live as long as the bus: links and discovery run on it.
    pub async fn join(self) -> Result<Bus, BusError> {
        let node = self.identity.node_id();
        let (process, transport) = self.open().await?;
        Bus::join(node, process, Arc::new(transport)).await
    }

    /// The way to the others, and which process this is there.
    async fn open(self) -> Result<(ProcessId, ZenohTransport), BusError> {
        let settings = self.check()?;
        let listeners = listen::listen(&settings)?;
        let bound = listeners.iter().map(tokio::net::TcpListener::local_addr).collect::<Result<Vec<_>, _>>();
        let bound = bound.map_err(|error| session::failed("listen", &error))?;
        let nook = tunnel::Nook::new(&settings.runtime_dirs)?;
        let (runtime, session) = session::open(&nook).await?;
        let id = session.zid().to_le_bytes();
        let namespace = settings.identity.namespace();
        let cluster = settings.identity.cluster().short();
        tracing::info!(namespace, cluster, listen = ?bound, "joined the bus");
        let shared = tunnel::Shared::new(&settings, id, nook, runtime.clone(), bound.clone());
        let shared = Arc::new(shared.map_err(|error| session::failed("use this node's identity", &error))?);
        let links = Links::start(shared.clone(), listeners, &settings.static_peers);
        let discovery = discovery::start(&settings, id, bound, links.handle(), shared);
        let transport = ZenohTransport::new(&namespace, runtime, session, discovery, links)?;
        Ok((tunnel::process_of(&id), transport))
    }
}

#[cfg(test)]
mod tests;
