//! Parts of a machine with memory of their own.

use super::count;
use crate::Sysfs;
use crate::memory::field;
use exo_types::Memory;
use serde::Serialize;

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NumaNode {
    /// Its number.
    pub id: u32,
    /// Its processors, with hyper-threads.
    pub processors: u32,
    /// Its memory.
    pub memory: Memory,
}

/// Asks the kernel; none where it does not know of such parts.
pub(super) fn read(sysfs: &Sysfs) -> Vec<NumaNode> {
    let nodes = "/sys/devices/system/node";
    let node = |name: String| {
        let id = name.strip_prefix("node")?.parse().ok()?;
        let meminfo = sysfs.read(&format!("{nodes}/{name}/meminfo")).unwrap_or_default();
        let list = sysfs.text(&format!("{nodes}/{name}/cpulist")).unwrap_or_default();
        Some(NumaNode { id, processors: count(&list), memory: field(&meminfo, "MemTotal") })
    };
    sysfs.list(nodes).into_iter().filter_map(node).collect()
}
