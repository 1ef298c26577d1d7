//! Limits of the process.

use crate::doctor::facts::Facts;
use crate::doctor::finding::Finding;
use exo_types::Memory;

/// Sockets of clients, links and files of models of a node that is busy.
const OPEN_FILES: u64 = 1024;
/// Buffers of a few links.
const LOCKED_MEMORY: Memory = Memory::mib(1 << 10);

pub(super) fn limits(facts: &Facts, findings: &mut Vec<Finding>) {
    if let Some(files) = facts.limits.open_files.filter(|files| *files < OPEN_FILES) {
        findings.push(Finding::warning(
            "limits",
            format!("this process may open only {files} files and sockets"),
            format!("`ulimit -n {OPEN_FILES}`; for the units: LimitNOFILE="),
        ));
    }
    let wants_rdma = facts.rdma.iter().any(|device| device.is_active());
    if let Some(locked) = facts.limits.locked_memory.filter(|locked| wants_rdma && *locked < LOCKED_MEMORY) {
        findings.push(Finding::warning(
            "limits",
            format!("there is an RDMA device, and this process may lock only {locked} of memory for it"),
            "`ulimit -l unlimited`; for the units: LimitMEMLOCK=infinity",
        ));
    }
}
