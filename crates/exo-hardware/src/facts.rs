//! The part of a machine that the cluster is told.

use crate::addresses::leads_nowhere;
use crate::{Gpu, Nic, NicKind, RdmaDevice};
use exo_types::{Accelerator, Memory, NodeHardware, NodeLink};

/// Puts together what placement goes by. Only links that others can reach: no loopback, none that is down, none
/// without an address (a leg of a bond has none).
pub fn node_hardware(memory_bandwidth: Option<u64>, gpus: &[Gpu], nics: &[Nic], rdma: &[RdmaDevice]) -> NodeHardware {
    let reaches =
        |nic: &&Nic| nic.up && nic.kind != NicKind::Loopback && !nic.addresses.is_empty() && !leads_nowhere(&nic.name);
    NodeHardware {
        memory_bandwidth,
        accelerators: gpus.iter().map(accelerator).collect(),
        links: nics.iter().filter(reaches).map(|nic| link(nic, nics, rdma)).collect(),
    }
}

fn accelerator(gpu: &Gpu) -> Accelerator {
    Accelerator {
        name: gpu.name.clone(),
        runtime: gpu.vendor.runtime().unwrap_or_default().to_owned(),
        architecture: gpu.architecture.clone(),
        memory_total: gpu.memory_total.unwrap_or_default(),
        memory_free: gpu.memory_free.unwrap_or(Memory::bytes(0)),
        shares_memory: gpu.shares_memory,
        memory_bandwidth: gpu.memory_bandwidth,
        unusable: (!gpu.availability.is_ready()).then(|| gpu.availability.to_string()),
    }
}

/// A bond has the RDMA devices of its legs, unless it has one of its own (RoCE LAG), which its first leg shows.
fn link(nic: &Nic, nics: &[Nic], rdma: &[RdmaDevice]) -> NodeLink {
    let legs = nics.iter().filter(|leg| leg.member_of.as_deref() == Some(&nic.name));
    let devices = nic.rdma.iter().chain(legs.flat_map(|leg| &leg.rdma));
    // Soft-RoCE has no device in common with its interface: its addresses tell.
    let soft = rdma.iter().filter(|device| {
        device.ports.iter().flat_map(|port| &port.gids).any(|gid| gid.nic.as_deref() == Some(&nic.name))
    });
    let is_active = |name: &&String| rdma.iter().any(|device| device.name == **name && device.is_active());
    let mut active: Vec<String> = devices.chain(soft.map(|device| &device.name)).filter(is_active).cloned().collect();
    active.sort();
    active.dedup();
    let mut addresses: Vec<String> = nic.addresses.iter().map(ToString::to_string).collect();
    addresses.sort();
    NodeLink {
        name: nic.name.clone(),
        kind: nic.kind.as_str().to_owned(),
        speed_mbit: nic.speed_mbit,
        addresses,
        rdma: active,
    }
}
