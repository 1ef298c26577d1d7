//! Main memory.

use crate::cgroup::Limits;
use crate::{Sysfs, cgroup::MemoryLimit};
use exo_types::{Memory, NodeResources};
use serde::Serialize;

/// What there is in all, whatever the control groups leave of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MainMemory {
    /// Of the machine.
    pub total: Memory,
    /// Of that, what can be had without swapping.
    pub available: Memory,
    /// Swap space.
    pub swap_total: Memory,
    /// Of that, what is free.
    pub swap_free: Memory,
}

/// Asks the system: what there is, and what can be had without swapping when `reserve` of the machine's memory is left to
/// others; both within the limits of the control groups.
pub fn resources(reserve: Memory) -> NodeResources {
    let sysfs = Sysfs::host();
    within(MainMemory::read(&sysfs), reserve, Limits::read(&sysfs).memory)
}

/// What a control group may not have is left to others already: it counts towards the reserve.
fn within(told: MainMemory, reserve: Memory, limit: Option<MemoryLimit>) -> NodeResources {
    let available = told.available.saturating_sub(reserve);
    match limit {
        None => NodeResources { ram_total: told.total, ram_available: available },
        Some(limit) => {
            NodeResources { ram_total: told.total.min(limit.limit), ram_available: available.min(limit.left) }
        }
    }
}

impl MainMemory {
    /// Asks the kernel; zero for what it does not tell.
    pub fn read(sysfs: &Sysfs) -> Self {
        Self::parse(&sysfs.read("/proc/meminfo").unwrap_or_default())
    }

    fn parse(meminfo: &str) -> Self {
        Self {
            total: field(meminfo, "MemTotal"),
            available: field(meminfo, "MemAvailable"),
            swap_total: field(meminfo, "SwapTotal"),
            swap_free: field(meminfo, "SwapFree"),
        }
    }
}

/// One line of `/proc/meminfo` and its likes, which are in KiB.
pub(crate) fn field(meminfo: &str, wanted: &str) -> Memory {
    let mut lines = meminfo.lines().filter_map(|line| line.split_once(':'));
    // In the files of NUMA nodes the name stands behind `Node 0`.
    let value = lines.find(|(key, _)| key.split_whitespace().next_back() == Some(wanted));
    let kib = value.and_then(|(_, value)| value.split_whitespace().next()?.parse::<u64>().ok());
    Memory::bytes(kib.unwrap_or(0).saturating_mul(1024))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn memory_is_read_in_bytes_and_missing_lines_are_nothing() {
        let check = |text: &str, total: u64, available: u64| {
            let found = MainMemory::parse(text);
            assert_eq!((found.total.in_bytes, found.available.in_bytes), (total, available), "{text:?}");
        };
        check("MemTotal:  8 kB\nMemFree: 1 kB\nMemAvailable:    5 kB\n", 8192, 5120);
        check("MemTotal:  8 kB\n", 8192, 0);
        check("MemTotal: lots\n", 0, 0);
        check("MemTotal: 18446744073709551615 kB\n", u64::MAX, 0);
        check("Node 0 MemTotal:  8 kB\n", 8192, 0);
        let swapping = MainMemory::parse("SwapTotal: 4 kB\nSwapFree: 3 kB\n");
        assert_eq!((swapping.swap_total.in_bytes, swapping.swap_free.in_bytes), (4096, 3072));
    }

    #[test]
    fn a_control_group_makes_the_machine_smaller() {
        let machine = MainMemory { total: Memory::bytes(100), available: Memory::bytes(80), ..MainMemory::default() };
        let check = |reserve, limit: Option<(u64, u64)>, total: u64, available: u64| {
            let limit =
                limit.map(|(limit, left)| MemoryLimit { limit: Memory::bytes(limit), left: Memory::bytes(left) });
            let expect = NodeResources { ram_total: Memory::bytes(total), ram_available: Memory::bytes(available) };
            assert_eq!(within(machine, Memory::bytes(reserve), limit), expect, "{reserve} {limit:?}");
        };
        check(0, None, 100, 80);
        check(0, Some((50, 20)), 50, 20);
        check(0, Some((500, 90)), 100, 80);
        // What is left to others is left once.
        check(30, None, 100, 50);
        check(30, Some((50, 20)), 50, 20);
        check(30, Some((500, 90)), 100, 50);
        check(90, None, 100, 0);
    }

    #[test]
    fn this_machine_has_memory() {
        assert!(resources(Memory::default()).ram_total.in_bytes > 0);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(\\PC|\n|:){0,80}") {
            MainMemory::parse(&text);
        }
    }
}
