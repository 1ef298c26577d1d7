//! Looks at what placement goes by: accelerators, links, how fast memory is read.

use super::ticks;
use crate::cause::Cause;
use exo_hardware::{Availability, Gpu, GpuQuestions, Nic, Sysfs, gpus, interfaces, nics, node_hardware, rdma_devices};
use exo_types::{Memory, NodeHardware};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::mpsc;

/// Between two looks. A driver that appears late and a leg of a bond that dies are noticed by then.
const PERIOD: Duration = Duration::from_secs(30);

/// Tells what the hardware is worth, for as long as somebody listens.
pub(crate) async fn watch_hardware(causes: mpsc::Sender<Cause>) {
    let mut watch = Watch::default();
    let mut ticks = ticks(PERIOD);
    loop {
        ticks.tick().await;
        let looked = tokio::task::spawn_blocking(move || (watch.look(), watch)).await;
        // Only a panic or the end of the runtime ends a look otherwise.
        let Ok((hardware, back)) = looked else { return };
        watch = back;
        if causes.send(Cause::Hardware(hardware)).await.is_err() {
            return;
        }
    }
}

/// What was found before, so that what costs time is done again only when something changed.
#[derive(Default)]
struct Watch {
    /// Measured once: later the runners would be disturbed, and disturb.
    memory_bandwidth: Option<u64>,
    was_measured: bool,
    /// What the drivers told before any kernel was run.
    untested: Vec<(Option<String>, Availability)>,
    /// The same cards, tested.
    gpus: Vec<Gpu>,
    /// What was logged.
    complaints: BTreeSet<String>,
}

impl Watch {
    fn look(&mut self) -> NodeHardware {
        let sysfs = Sysfs::host();
        if !self.was_measured {
            let available = exo_hardware::resources(Memory::default()).ram_available;
            self.memory_bandwidth = exo_hardware::memory_bandwidth(&exo_hardware::processors(), available);
            self.was_measured = true;
        }
        self.look_at_gpus(&sysfs);
        let nics = nics(&sysfs, &interfaces());
        self.complain(complaints(&self.gpus, &nics));
        node_hardware(self.memory_bandwidth, &self.gpus, &nics, &rdma_devices(&sysfs))
    }

    /// Kernels are run on the cards when their drivers tell something new: at the start, and when one appears late.
    fn look_at_gpus(&mut self, sysfs: &Sysfs) {
        let now = gpus(sysfs, GpuQuestions::default());
        let told: Vec<_> = now.iter().map(|gpu| (gpu.address.clone(), gpu.availability.clone())).collect();
        if told != self.untested {
            self.untested = told;
            self.gpus = gpus(sysfs, GpuQuestions { self_test: true });
            return;
        }
        for (known, now) in self.gpus.iter_mut().zip(now) {
            known.memory_free = now.memory_free;
        }
    }

    /// Each once, and once more when it is over.
    fn complain(&mut self, complaints: BTreeSet<String>) {
        for complaint in complaints.difference(&self.complaints) {
            tracing::warn!("{complaint}");
        }
        for over in self.complaints.difference(&complaints) {
            tracing::info!("no longer: {over}");
        }
        self.complaints = complaints;
    }
}

/// What is wrong with the machine and does not keep it from working.
fn complaints(gpus: &[Gpu], nics: &[Nic]) -> BTreeSet<String> {
    let cards = gpus.iter().filter(|gpu| !gpu.availability.is_ready());
    let cards = cards.map(|gpu| format!("{} cannot be used: {}", gpu.name, gpu.availability));
    let legs = nics.iter().filter_map(|nic| {
        let dead: Vec<&str> = nic.bond.as_ref()?.dead_legs().collect();
        let what = if nic.up { "goes on without" } else { "is down, with" };
        (!dead.is_empty()).then(|| format!("{} {what} {}; check cable and switch", nic.name, dead.join(", ")))
    });
    cards.chain(legs).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use exo_hardware::{Bond, Leg, NicKind};

    fn bond(up: bool, legs: &[(&str, bool)]) -> Nic {
        let leg =
            |(name, up): &(&str, bool)| Leg { name: (*name).to_owned(), up: *up, speed_mbit: None, failures: None };
        let legs = legs.iter().map(leg).collect();
        Nic {
            name: "bond0".to_owned(),
            kind: NicKind::Bond,
            up,
            speed_mbit: None,
            mtu: None,
            mac: None,
            driver: None,
            numa_node: None,
            addresses: Vec::new(),
            bond: Some(Bond { mode: "802.3ad".to_owned(), active: None, miimon: None, legs }),
            member_of: None,
            rdma: Vec::new(),
        }
    }

    #[test]
    fn a_dead_leg_is_told_with_its_bond() {
        let check = |nic: Nic, expect: &[&str]| {
            let found: Vec<_> = complaints(&[], &[nic]).into_iter().collect();
            assert_eq!(found, expect);
        };
        check(bond(true, &[("eth0", true), ("eth1", true)]), &[]);
        check(bond(true, &[("eth0", true), ("eth1", false)]), &["bond0 goes on without eth1; check cable and switch"]);
        check(
            bond(false, &[("eth0", false), ("eth1", false)]),
            &["bond0 is down, with eth0, eth1; check cable and switch"],
        );
    }

    #[tokio::test]
    async fn what_is_found_is_told() {
        let (causes, mut inbox) = mpsc::channel(1);
        let watching = watch_hardware(causes);
        let told = async { inbox.recv().await };
        let told = tokio::select! { told = told => told, () = watching => None };
        assert!(matches!(told, Some(Cause::Hardware(_))));
    }
}
