//! The bus between processes, over zenoh in peer mode: every process holds a link to every other, nobody routes.
//!
//! zenoh carries keys and bytes; finding each other is ours ([`discovery`]), because zenoh scouts in one address family
//! only and answers everybody. The namespace stands in the discovery packet, in the credential that every link must
//! show, and before every key.

mod config;
mod discovery;
mod outbox;
mod session;
mod transport;

pub use config::{Scouting, ZenohConfig};

use crate::bus::Bus;
use crate::error::BusError;
use crate::names::ProcessId;
use std::sync::Arc;
use transport::ZenohTransport;

impl ZenohConfig {
    /// Opens the links and joins. Returns once this process listens; who is there comes by presence.
    ///
    /// The runtime that this is called on must live as long as the bus: discovery runs on it.
    pub async fn join(self) -> Result<Bus, BusError> {
        let settings = self.check()?;
        let (runtime, session) = session::open(&settings).await?;
        let id = session.zid();
        let addresses = session::bound_addresses(&runtime);
        tracing::info!(namespace = settings.namespace, listen = ?addresses, "joined the bus");
        let discovery = discovery::start(&settings, &runtime, id, addresses);
        let mut half = [0; 8];
        half.copy_from_slice(&id.to_le_bytes()[..8]);
        let process = ProcessId(u64::from_le_bytes(half));
        let transport = ZenohTransport::new(&settings, runtime, session, discovery)?;
        Bus::join(settings.node, process, Arc::new(transport)).await
    }
}
