//! A master on a simulated machine: its disks, and how it starts.

use exo_bus::Bus;
use exo_log::FaultyDisk;
use exo_master::{MasterOptions, MemoryHome, run_over};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A sync of a simulated disk takes so long.
const SYNC: Duration = Duration::from_millis(1);

/// The disks of a machine; what is on them outlives the processes.
#[derive(Clone)]
pub(crate) struct MasterDisk(MemoryHome);

impl MasterDisk {
    pub(crate) fn new(seed: u64) -> Self {
        Self(MemoryHome::new(seed))
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
    }

    /// The machine is switched off in order, and meanwhile a bit of the log in use flips.
    pub(crate) fn switch_off_and_flip_bit(&self) {
        self.each(FaultyDisk::switch_off);
        if let Some(disk) = self.0.disk() {
            disk.flip_bit();
        }
    }

    pub(crate) fn set_full(&self, is_full: bool) {
        self.0.set_full(is_full);
    }

    /// Nothing more goes wrong with them.
    pub(crate) fn calm(&self) {
        self.set_full(false);
    }

    fn each(&self, act: impl Fn(&FaultyDisk)) {
        self.0.all().iter().for_each(|(_, disk)| act(disk));
    }
}

/// Runs a master until it ends; what it says then.
pub(crate) async fn run_master(bus: Bus, disk: MasterDisk) -> String {
    // A cluster of three masters and more never takes over; with fewer the storm is shorter than the patience.
    let options = MasterOptions { take_over_after: None, ..MasterOptions::default() };
    disk.each(|disk| disk.set_sync_time(SYNC));
    match run_over(bus, options, Arc::new(disk.0), None, CancellationToken::new()).await {
        Ok(()) => "it ended".to_owned(),
        Err(error) => error.to_string(),
    }
}
