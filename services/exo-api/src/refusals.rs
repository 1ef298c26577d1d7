//! What this node refused, as far as its api can tell: its own bus, and its master's bus and log.

use exo_bus::{Bus, topics};
use exo_types::{MasterCounters, MasterStanding, NodeId, RequestStanding};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a master may take to say how it stands; one that does not is shown as silent.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// How often each thing was refused, by part of exo and reason.
pub(crate) type Refusals = BTreeMap<&'static str, BTreeMap<String, u64>>;

/// Asks a master how it stands.
pub(crate) async fn standing(bus: &Bus, of: &NodeId) -> Option<MasterStanding> {
    bus.request(topics::STANDING, of, &RequestStanding {}, PATIENCE).await.ok()
}

/// What the api's process refused, and the master of its node, if it has one. In a process that is both the bus is one.
pub(crate) fn refusals(bus: &Bus, master: Option<&MasterCounters>) -> Refusals {
    merge(&bus.process().to_string(), bus.links().refused, master)
}

fn merge(own_process: &str, own_bus: BTreeMap<String, u64>, master: Option<&MasterCounters>) -> Refusals {
    let mut of_bus = own_bus;
    let mut of_log = BTreeMap::new();
    if let Some(master) = master {
        if master.process != own_process {
            for (reason, count) in &master.refused_by_bus {
                *of_bus.entry(reason.clone()).or_default() += count;
            }
        }
        of_log.clone_from(&master.refused_by_log);
    }
    BTreeMap::from([("bus", of_bus), ("log", of_log)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_processes_are_added_and_one_is_not_counted_twice() {
        let counted = |count| BTreeMap::from([("garbage".to_owned(), count)]);
        let master = MasterCounters {
            process: "1".to_owned(),
            refused_by_bus: counted(2),
            refused_by_log: counted(5),
            ..MasterCounters::default()
        };
        for (own, expect) in [("1", 2), ("2", 4)] {
            let refusals = merge(own, counted(2), Some(&master));
            assert_eq!((refusals["bus"]["garbage"], refusals["log"]["garbage"]), (expect, 5));
        }
        assert_eq!(merge("1", counted(2), None)["bus"]["garbage"], 2);
    }
}
