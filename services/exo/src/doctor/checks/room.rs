//! Memory for models, and limits of the process.

use crate::doctor::facts::Facts;
use crate::doctor::finding::Finding;
use exo_types::{Memory, ModelCard};

/// Sockets of clients, links and files of models of a node that is busy.
const OPEN_FILES: u64 = 1024;
/// Buffers of a few links.
const LOCKED_MEMORY: Memory = Memory::mib(1 << 10);

pub(super) fn models(facts: &Facts, findings: &mut Vec<Finding>) {
    let usable = facts.resources.ram_total.saturating_sub(facts.config.runner.memory_reserve);
    for (model, card) in &facts.models {
        let Some(card) = card else {
            findings.push(Finding::warning(
                "models",
                format!("model {model} (models.place) is not on this machine"),
                format!("put {model}.gguf into a directory of models.dirs, unless other nodes have it"),
            ));
            continue;
        };
        let needed = needed(card, facts.config.engine.context_length);
        if needed > usable {
            findings.push(Finding::warning(
                "memory",
                format!("model {model} needs {needed}, and exo may use {usable} on this machine"),
                "it needs other nodes too; or lower engine.contextLength or runner.memoryReserve",
            ));
        }
    }
}

/// Weights, and the keys and values of one full context.
fn needed(card: &ModelCard, context: u32) -> Memory {
    let tokens = u64::from(context.min(card.context_length));
    card.storage_size.saturating_add(Memory::bytes(card.kv_bytes_per_token.saturating_mul(tokens)))
}

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
