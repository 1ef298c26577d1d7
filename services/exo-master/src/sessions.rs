//! Opens, founds, joins and changes the logs of sessions.

use crate::error::MasterError;
use crate::home::{LogHome, Slot};
use crate::peers::{Addressee, BusPeers};
use crate::publish::Publisher;
use exo_bus::Bus;
use exo_log::{EventLog, LogOptions, LogStanding, OpenError, read_single, retire_single};
use exo_state::State;
use exo_types::SessionId;
use std::sync::Arc;
use tokio::sync::watch;

/// The log of a session that this master takes part in.
pub(crate) struct OpenSession {
    pub(crate) id: SessionId,
    pub(crate) log: EventLog,
    pub(crate) standing: watch::Receiver<LogStanding>,
    pub(crate) publisher: Publisher,
    state: watch::Receiver<Arc<State>>,
    slot: Slot,
}

impl OpenSession {
    fn new(bus: &Bus, id: SessionId, log: EventLog, slot: Slot) -> Self {
        let publisher = Publisher::start(bus.clone(), id.clone(), &log);
        Self { standing: log.standing(), state: log.state(), publisher, id, log, slot }
    }

    /// What is applied.
    pub(crate) fn state(&self) -> Arc<State> {
        self.state.borrow().clone()
    }
}

/// What was found at the start.
pub(crate) struct Found {
    pub(crate) session: Option<OpenSession>,
    /// The session whose log was damaged here and is whole elsewhere.
    pub(crate) lost: Option<SessionId>,
}

/// Makes sessions.
#[derive(Clone)]
pub(crate) struct Sessions {
    bus: Bus,
    home: Arc<dyn LogHome>,
    /// Whom peers' requests reach.
    addressee: Addressee,
}

impl Sessions {
    pub(crate) fn new(bus: Bus, home: Arc<dyn LogHome>, addressee: Addressee) -> Self {
        Self { bus, home, addressee }
    }

    /// The log in use, if there is one.
    pub(crate) async fn open_current(&self) -> Result<Found, MasterError> {
        self.take_over_legacy().await?;
        let Some(slot) = self.home.current().map_err(MasterError::Home)? else {
            return Ok(Found { session: None, lost: None });
        };
        let (log, recovered) = self.open(&slot).await?;
        tracing::info!(
            last_index = %recovered.state.last_event_applied_idx,
            replayed = recovered.replayed,
            instances = recovered.state.instances.len(),
            "the log is read"
        );
        if let Some(quarantined) = &recovered.quarantined {
            let (moved_to, reason) = (&quarantined.moved_to, &quarantined.reason);
            tracing::error!(%moved_to, %reason, "the log is damaged and was put aside; others have what was in it");
        }
        let lost = recovered.lost.map(|lost| lost.session);
        match recovered.session {
            Some(id) => Ok(Found { session: Some(self.enter(id, log, slot)), lost }),
            None => {
                log.close().await;
                Ok(Found { session: None, lost })
            }
        }
    }

    /// Begins a session with this master as its only voter, and takes it into use.
    pub(crate) async fn found(&self, id: SessionId, seed: Option<State>) -> Result<OpenSession, MasterError> {
        let slot = self.home.begin(Some(&id)).map_err(MasterError::Home)?;
        let (log, _) = self.open(&slot).await?;
        log.found(id.clone(), seed).await?;
        self.home.set_current(&slot).map_err(MasterError::Home)?;
        Ok(self.enter(id, log, slot))
    }

    /// Goes on from all that the log of a session has, acknowledged or not: nothing that was acknowledged is lost then.
    pub(crate) async fn take_over(&self, old: OpenSession, id: SessionId) -> Result<OpenSession, MasterError> {
        self.addressee.set(None);
        let OpenSession { log, slot, publisher, .. } = old;
        drop(publisher);
        log.close().await;
        let (log, recovered) = self.open(&slot).await?;
        log.close().await;
        self.found(id, Some(Arc::unwrap_or_clone(recovered.state))).await
    }

    /// An empty log that waits to be taken into a session; not in use yet.
    pub(crate) async fn begin_join(&self, id: &SessionId) -> Result<(EventLog, Slot), MasterError> {
        let slot = self.home.begin(Some(id)).map_err(MasterError::Home)?;
        let (log, _) = self.open(&slot).await?;
        log.join(id.clone()).await?;
        Ok((log, slot))
    }

    /// The session took it in: it is in use from now on, and the old one in the archive.
    pub(crate) async fn end_join(
        &self,
        old: Option<OpenSession>,
        id: SessionId,
        log: EventLog,
        slot: Slot,
    ) -> Result<OpenSession, MasterError> {
        self.home.set_current(&slot).map_err(MasterError::Home)?;
        if let Some(OpenSession { log, publisher, .. }) = old {
            drop(publisher);
            log.close().await;
        }
        Ok(self.enter(id, log, slot))
    }

    /// Peers speak to this one from now on.
    pub(crate) fn address(&self, log: Option<&EventLog>) {
        self.addressee.set(log.cloned());
    }

    fn enter(&self, id: SessionId, log: EventLog, slot: Slot) -> OpenSession {
        self.addressee.set(Some(log.clone()));
        OpenSession::new(&self.bus, id, log, slot)
    }

    async fn open(&self, slot: &Slot) -> Result<(EventLog, exo_log::Recovered), OpenError> {
        let options = LogOptions::new(self.bus.node().clone(), exo_ambient::fresh_number());
        let options = LogOptions { cluster: self.home.cluster(), ..options };
        let peers = Arc::new(BusPeers::new(self.bus.clone()));
        let (log, recovered) = EventLog::open(self.home.place(slot), options, peers).await?;
        self.home.opened(slot, &log);
        Ok((log, recovered))
    }

    /// A log from before replication becomes a session of one voter.
    async fn take_over_legacy(&self) -> Result<(), MasterError> {
        let Some(directory) = self.home.legacy().map(std::path::Path::to_path_buf) else { return Ok(()) };
        if self.home.current().map_err(MasterError::Home)?.is_some() {
            return Ok(());
        }
        let reading = directory.clone();
        let read = tokio::task::spawn_blocking(move || read_single(&reading)).await;
        let Some(state) = read.expect("reading a log does not panic, and is not aborted")? else { return Ok(()) };
        if let Some(id) = state.session.clone() {
            let session = self.found(id, Some(state)).await?;
            self.addressee.set(None);
            session.log.close().await;
        }
        let retired = retire_single(&directory).map_err(MasterError::Home)?;
        tracing::info!(path = %retired.display(), "the log was taken into the replicated one");
        Ok(())
    }
}
