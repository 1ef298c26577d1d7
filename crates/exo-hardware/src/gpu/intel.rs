//! Intel's cards, through sysfs.

use super::{Gpu, GpuVendor, celsius, driven, on_bus, render_node, sensor};
use crate::pci::{DEVICES, PciDevice};
use crate::{Availability, Sysfs};
use exo_types::Memory;

const VENDOR: u32 = 0x8086;

pub(super) fn read(sysfs: &Sysfs, cards: &[PciDevice]) -> Vec<Gpu> {
    cards.iter().filter(|card| card.vendor == VENDOR).map(|card| gpu(sysfs, card)).collect()
}

fn gpu(sysfs: &Sysfs, card: &PciDevice) -> Gpu {
    let render = render_node(sysfs, card);
    let opened = render.as_deref().map_or(Availability::Ready, |path| match sysfs.device(path) {
        Availability::NotPresent => Availability::NoDriver { reason: format!("{path} is not there; is udev running?") },
        other => other,
    });
    let driven = driven(card, &["i915", "xe"], "load the kernel module xe or i915");
    let mut gpu = on_bus(GpuVendor::Intel, card, driven.and(opened));
    let drm = format!("{DEVICES}/{}/drm", card.address);
    let cards = sysfs.list(&drm);
    let bytes = |file: &str| {
        let of_card = |name: &String| sysfs.number(&format!("{drm}/{name}/{file}"));
        cards.iter().filter(|name| name.starts_with("card")).find_map(of_card).map(Memory::bytes)
    };
    gpu.memory_total = bytes("lmem_total_bytes");
    gpu.memory_free = bytes("lmem_avail_bytes");
    // A part of the processor has no memory of its own, and sits on the first bus.
    gpu.shares_memory = gpu.memory_total.is_none() && card.address.starts_with("0000:00:");
    gpu.celsius = celsius(sysfs, card);
    gpu.limit_watts =
        sensor(sysfs, card, "power1_max").and_then(|microwatts| u32::try_from(microwatts / 1_000_000).ok());
    gpu.device_nodes = render.into_iter().collect();
    gpu
}
