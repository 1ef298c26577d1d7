//! A master on a simulated machine: its disks, and how it starts.

use crate::log_watch::LogWatch;
use crate::observer::Observer;
use exo_bus::Bus;
use exo_log::{EventLog, FaultyDisk, Place};
use exo_master::{LogHome, MasterOptions, MemoryHome, Slot, run_over};
use exo_state::State;
use exo_types::{NodeId, SessionId};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A sync of a simulated disk takes so long.
const SYNC: Duration = Duration::from_millis(1);

/// The disks of a machine; what is on them outlives the processes. A clone is the same disks.
#[derive(Clone)]
pub(crate) struct MasterDisk {
    node_id: NodeId,
    home: MemoryHome,
    watch: LogWatch,
    observer: Observer,
}

impl MasterDisk {
    pub(crate) fn new(seed: u64, node_id: NodeId, observer: Observer) -> Self {
        let watch = LogWatch::new(format!("the master of {node_id}"), observer.clone());
        Self { node_id, home: MemoryHome::new(seed), watch, observer }
    }

    /// The power goes: what was not synced is lost, and open files are no more.
    pub(crate) fn power_cut(&self) {
        self.each(FaultyDisk::power_cut);
    }

    /// The power goes after so many more writes and syncs.
    pub(crate) fn power_cut_after(&self, calls: u64) {
        self.each(|disk| disk.power_cut_after(calls));
    }

    /// The process is gone: its open files are no more, and what it wrote is the kernel's.
    pub(crate) fn detach(&self) {
        self.each(FaultyDisk::detach);
        self.watch.on_closed();
    }

    /// The machine is switched off in order, and meanwhile a bit of the log in use flips.
    pub(crate) fn switch_off_and_flip_bit(&self) {
        self.each(FaultyDisk::switch_off);
        if let Some(disk) = self.home.disk() {
            disk.flip_bit();
        }
    }

    pub(crate) fn set_full(&self, is_full: bool) {
        self.home.set_full(is_full);
    }

    /// Nothing more goes wrong with them.
    pub(crate) fn calm(&self) {
        self.set_full(false);
    }

    /// Logs that were damaged and put away.
    pub(crate) fn quarantined(&self) -> u64 {
        self.home.all().iter().map(|(_, disk)| disk.quarantined() as u64).sum()
    }

    /// The session of the log in use, and what is applied in it; none while no log is open.
    pub(crate) fn in_use(&self) -> Option<(SessionId, Arc<State>)> {
        self.watch.state(&self.home.current().ok()??)
    }

    fn each(&self, act: impl Fn(&FaultyDisk)) {
        self.home.all().iter().for_each(|(_, disk)| act(disk));
    }
}

impl fmt::Debug for MasterDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterDisk").field("home", &self.home).finish_non_exhaustive()
    }
}

/// As [`MemoryHome`], and all is seen.
impl LogHome for MasterDisk {
    fn current(&self) -> io::Result<Option<Slot>> {
        self.home.current()
    }

    fn begin(&self, session: Option<&SessionId>) -> io::Result<Slot> {
        let slot = self.home.begin(session)?;
        if let Some(session) = session {
            self.watch.on_begun(&slot, session);
        }
        Ok(slot)
    }

    fn set_current(&self, slot: &Slot) -> io::Result<()> {
        let before = self.home.current()?;
        if before.is_some_and(|before| self.watch.is_given_up(&before, slot, self.node_id.as_str())) {
            self.observer.on_meeting();
        }
        self.home.set_current(slot)
    }

    fn place(&self, slot: &Slot) -> Place {
        self.home.place(slot)
    }

    fn opened(&self, slot: &Slot, log: &EventLog) {
        self.each(|disk| disk.set_sync_time(SYNC));
        self.watch.on_opened(slot, log);
    }
}

/// Runs a master until it ends; what it says then. It is let go by its session before it ends when it is asked to stop.
pub(crate) async fn run_master(
    bus: Bus,
    disk: MasterDisk,
    take_over_after: Option<Duration>,
    stop: CancellationToken,
) -> String {
    let options = MasterOptions { take_over_after, leave_on_stop: true, ..MasterOptions::default() };
    disk.each(|disk| disk.set_sync_time(SYNC));
    match run_over(bus, options, Arc::new(disk), None, stop).await {
        Ok(()) => "it ended".to_owned(),
        Err(error) => error.to_string(),
    }
}
