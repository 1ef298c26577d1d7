//! What models run on, and the links between machines.

use crate::doctor::facts::Facts;
use crate::doctor::finding::Finding;
use exo_config::Mode;
use exo_hardware::Availability;

pub(super) fn runner(facts: &Facts, findings: &mut Vec<Finding>) {
    if let Some(reason) = facts.runner.as_ref().filter(|_| facts.config.mode != Mode::Master) {
        let message = format!("no model can run here: {reason}");
        findings.push(Finding::error("runner", message, "install exo-runner, or set runner.program"));
    }
}

pub(super) fn cards_and_links(facts: &Facts, findings: &mut Vec<Finding>) {
    for gpu in facts.gpus.iter().filter(|gpu| !gpu.availability.is_ready()) {
        let message = format!("{} cannot be used, the CPU is: {}", gpu.name, gpu.availability);
        findings.push(Finding::warning("cards", message, remedy(&gpu.availability, "`exo hardware` tells more")));
    }
    for device in facts.rdma.iter().filter(|device| device.is_active() && !device.availability.is_ready()) {
        let message = format!("RDMA device {} cannot be used, TCP is: {}", device.name, device.availability);
        findings.push(Finding::warning("rdma", message, remedy(&device.availability, "`modprobe ib_uverbs rdma_ucm`")));
    }
    for nic in &facts.nics {
        let dead: Vec<&str> = nic.bond.iter().flat_map(|bond| bond.dead_legs()).collect();
        if !dead.is_empty() {
            let message = format!("{} has lost {}", nic.name, dead.join(", "));
            findings.push(Finding::warning("bond", message, "check cable, switch and `ip link`"));
        }
    }
}

fn remedy(availability: &Availability, otherwise: &str) -> String {
    match availability {
        Availability::NoPermission { path } => format!(
            "add the user that runs exo to the group of {path} (render, video, rdma); for the units: DeviceAllow={path}"
        ),
        _ => otherwise.to_owned(),
    }
}
