//! Main memory.

use crate::cgroup::{Bound, memory_bound};
use crate::read;
use exo_types::{Memory, NodeResources};

/// Asks the system: what there is and what can be had without swapping, within the limits of the control groups.
pub fn resources() -> NodeResources {
    let told = read("/proc/meminfo").map_or_else(NodeResources::default, |text| parse(&text));
    within(told, memory_bound())
}

fn within(told: NodeResources, bound: Option<Bound>) -> NodeResources {
    let Some(bound) = bound else { return told };
    let least = |memory: Memory, bound: u64| Memory { in_bytes: memory.in_bytes.min(bound) };
    NodeResources {
        ram_total: least(told.ram_total, bound.limit),
        ram_available: least(told.ram_available, bound.left),
    }
}

fn parse(meminfo: &str) -> NodeResources {
    let kib = |wanted: &str| {
        let mut lines = meminfo.lines().filter_map(|line| line.split_once(':'));
        let value = lines.find(|(key, _)| *key == wanted).and_then(|(_, value)| value.split_whitespace().next());
        value.and_then(|value| value.parse::<u64>().ok()).unwrap_or(0)
    };
    let memory = |kib: u64| Memory { in_bytes: kib.saturating_mul(1024) };
    NodeResources { ram_total: memory(kib("MemTotal")), ram_available: memory(kib("MemAvailable")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resources_of(total: u64, available: u64) -> NodeResources {
        NodeResources { ram_total: Memory { in_bytes: total }, ram_available: Memory { in_bytes: available } }
    }

    #[test]
    fn memory_is_read_in_bytes_and_missing_lines_are_nothing() {
        let check = |text: &str, total: u64, available: u64| assert_eq!(parse(text), resources_of(total, available));
        check("MemTotal:  8 kB\nMemFree: 1 kB\nMemAvailable:    5 kB\n", 8192, 5120);
        check("MemTotal:  8 kB\n", 8192, 0);
        check("MemTotal: lots\n", 0, 0);
        check("MemTotal: 18446744073709551615 kB\n", u64::MAX, 0);
    }

    #[test]
    fn a_control_group_makes_the_machine_smaller() {
        let machine = resources_of(100, 80);
        assert_eq!(within(machine, None), machine);
        assert_eq!(within(machine, Some(Bound { limit: 50, left: 20 })), resources_of(50, 20));
        assert_eq!(within(machine, Some(Bound { limit: 500, left: 90 })), machine);
    }

    #[test]
    fn this_machine_has_memory() {
        assert!(resources().ram_total.in_bytes > 0);
    }
}
