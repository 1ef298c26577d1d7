//! Which readings of a node's memory the cluster is told.
//!
//! A reading that is told is a record in every log. What the cluster's own runners take and give back is told at once,
//! because placement counts on it; what other programs do to the memory is told from an allowance, so that a machine
//! that is busy for days writes a bounded log all the same.

use crate::LocalNode;
use crate::plan::moved_enough;
use exo_types::{NodeResources, RunnerId, RunnerStatus};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Readings that can be told in a row.
const ALLOWANCE: u32 = 4;

/// One more for each such time that passes.
const REFILL: Duration = Duration::from_secs(20 * 60);

/// After a runner came or went, readings are told as they are: its memory is taken, or given back, in that time.
const SETTLING: Duration = Duration::from_secs(30);

/// Decides, reading by reading.
#[derive(Debug)]
pub struct MemoryNews {
    left: u32,
    refilled: Instant,
    runners: BTreeSet<RunnerId>,
    settled: Option<Instant>,
}

impl MemoryNews {
    /// Readings that a day takes at most, but for those that runners cause.
    pub const PER_DAY: u64 = ALLOWANCE as u64 + 24 * 3600 / REFILL.as_secs();

    /// With its whole allowance.
    pub fn new(now: Instant) -> Self {
        Self { left: ALLOWANCE, refilled: now, runners: BTreeSet::new(), settled: None }
    }

    /// Whether a reading is to be told, instead of the one in `local`, which was the last one told. It counts then.
    pub fn takes(&mut self, now: Instant, local: &LocalNode, reading: NodeResources) -> bool {
        self.refill(now);
        let runners = holding(local);
        if runners != self.runners {
            self.runners = runners;
            self.settled = Some(now + SETTLING);
        }
        if !moved_enough(local.resources, reading) {
            return false;
        }
        let is_settling = self.settled.is_some_and(|settled| now < settled);
        if is_settling || local.resources.ram_total != reading.ram_total {
            return true;
        }
        let takes = self.left > 0;
        self.left = self.left.saturating_sub(1);
        takes
    }

    fn refill(&mut self, now: Instant) {
        while now.saturating_duration_since(self.refilled) >= REFILL {
            self.refilled += REFILL;
            self.left = (self.left + 1).min(ALLOWANCE);
        }
    }
}

/// The runners that have, or are about to have, memory.
fn holding(local: &LocalNode) -> BTreeSet<RunnerId> {
    let holds =
        |status: &RunnerStatus| !matches!(status, RunnerStatus::RunnerFailed { .. } | RunnerStatus::RunnerShutdown);
    local.runners.iter().filter(|(_, runner)| holds(&runner.status)).map(|(id, _)| id.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LocalRunner;
    use exo_types::{CpuInfo, InstanceId, Memory, NodeId, NodeInfo};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[expect(clippy::disallowed_methods, reason = "a test needs some instant to count from")]
    fn some_instant() -> Instant {
        Instant::now()
    }

    fn reading(free: u64) -> NodeResources {
        NodeResources { ram_total: Memory::mib(64), ram_available: Memory::mib(free) }
    }

    fn node(free: u64) -> LocalNode {
        let info = NodeInfo {
            friendly_name: "a".to_owned(),
            version: "1".to_owned(),
            os: "linux".to_owned(),
            cpu: CpuInfo::default(),
            addresses: Vec::new(),
            api_port: None,
        };
        LocalNode {
            node_id: NodeId::new("a").expect("a good id"),
            info,
            resources: reading(free),
            hardware: None,
            downloads: Vec::new(),
            connections: BTreeSet::new(),
            runners: BTreeMap::new(),
        }
    }

    /// How many of the readings are told, each at its second.
    fn told(news: &mut MemoryNews, local: &mut LocalNode, start: Instant, readings: &[(u64, u64)]) -> u64 {
        let mut told = 0;
        for (second, free) in readings {
            let (now, reading) = (start + Duration::from_secs(*second), reading(*free));
            if news.takes(now, local, reading) {
                local.resources = reading;
                told += 1;
            }
        }
        told
    }

    #[test]
    fn a_machine_that_is_busy_all_day_tells_no_more_than_its_allowance() {
        let start = some_instant();
        let (mut news, mut local) = (MemoryNews::new(start), node(32));
        let day: Vec<(u64, u64)> = (0..24 * 3600).step_by(5).map(|second| (second, 8 + second % 10 * 8)).collect();
        let told = told(&mut news, &mut local, start, &day);
        assert!((MemoryNews::PER_DAY - 1..=MemoryNews::PER_DAY).contains(&told), "{told}");
    }

    #[test]
    fn what_moves_little_costs_nothing_of_the_allowance() {
        let start = some_instant();
        let (mut news, mut local) = (MemoryNews::new(start), node(32));
        let little: Vec<(u64, u64)> = (0..100).map(|second| (second, 31 + second % 3)).collect();
        assert_eq!(told(&mut news, &mut local, start, &little), 0);
        assert_eq!(told(&mut news, &mut local, start, &[(101, 48), (102, 16)]), 2);
    }

    #[test]
    fn what_runners_take_and_give_back_is_told_at_once() {
        let start = some_instant();
        let (mut news, mut local) = (MemoryNews::new(start), node(32));
        let used_up: Vec<(u64, u64)> = (0..100).map(|second| (second, 8 + second % 2 * 40)).collect();
        told(&mut news, &mut local, start, &used_up);
        assert_eq!(told(&mut news, &mut local, start, &[(110, 60)]), 0, "the allowance is used up");
        let runner_id = RunnerId::new("r").expect("a good id");
        let instance_id = InstanceId::new("i").expect("a good id");
        let runner = LocalRunner { instance_id, status: RunnerStatus::RunnerIdle, since: start, told_to_connect: None };
        local.runners.insert(runner_id.clone(), runner);
        assert_eq!(told(&mut news, &mut local, start, &[(111, 60), (115, 20), (120, 4)]), 3);
        assert_eq!(told(&mut news, &mut local, start, &[(111 + 31, 60)]), 0, "it has settled");
        local.runners.remove(&runner_id);
        assert_eq!(told(&mut news, &mut local, start, &[(150, 60)]), 1);
    }

    proptest! {
        #[test]
        fn no_course_of_readings_tells_more(readings in proptest::collection::vec((0..40_u64, 0..64_u64), 0..400)) {
            let start = some_instant();
            let (mut news, mut local) = (MemoryNews::new(start), node(32));
            let mut second = 0;
            let readings: Vec<(u64, u64)> = readings.into_iter().map(|(pause, free)| {
                second += pause;
                (second, free)
            }).collect();
            let told = told(&mut news, &mut local, start, &readings);
            prop_assert!(told <= u64::from(ALLOWANCE) + second / REFILL.as_secs());
        }
    }
}
