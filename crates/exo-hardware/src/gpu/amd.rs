//! AMD's cards, through sysfs and the topology of KFD.

use super::{Gpu, GpuVendor, celsius, driven, on_bus, render_node, watts};
use crate::os::plain;
use crate::pci::{DEVICES, PciDevice};
use crate::{Availability, Sysfs};
use exo_types::Memory;
use std::collections::BTreeMap;

const VENDOR: u32 = 0x1002;
const TOPOLOGY: &str = "/sys/class/kfd/kfd/topology/nodes";
const KFD: &str = "/dev/kfd";

/// Architectures that are only made as parts of processors.
const INTEGRATED: [&str; 12] = [
    "gfx902", "gfx909", "gfx90c", "gfx1033", "gfx1035", "gfx1036", "gfx1037", "gfx1103", "gfx1150", "gfx1151",
    "gfx1152", "gfx1153",
];

pub(super) fn read(sysfs: &Sysfs, cards: &[PciDevice]) -> Vec<Gpu> {
    cards.iter().filter(|card| card.vendor == VENDOR).map(|card| gpu(sysfs, card)).collect()
}

fn gpu(sysfs: &Sysfs, card: &PciDevice) -> Gpu {
    let bytes = |file: &str| sysfs.number(&format!("{DEVICES}/{}/{file}", card.address)).map(Memory::bytes);
    let node = Node::of(sysfs, card);
    let render = render_node(sysfs, card);
    let mut gpu = on_bus(GpuVendor::Amd, card, availability(sysfs, card, node.as_ref(), render.as_deref()));
    let name = sysfs.text(&format!("{DEVICES}/{}/product_name", card.address));
    let name = name.or_else(|| node.as_ref().and_then(|node| node.name.clone()));
    if let Some(name) = name {
        gpu.name = plain(&name);
    }
    gpu.architecture = node.as_ref().and_then(Node::architecture);
    // A part of the processor has a little memory set aside; what it computes with is main memory (GTT).
    gpu.shares_memory = node.as_ref().is_some_and(Node::is_part_of_a_processor);
    let used = |total: &str, used: &str| Some((bytes(total)?, bytes(used).unwrap_or_default()));
    let own = used("mem_info_vram_total", "mem_info_vram_used");
    let main = used("mem_info_gtt_total", "mem_info_gtt_used").filter(|_| gpu.shares_memory);
    let parts = || own.into_iter().chain(main);
    gpu.memory_total = parts().map(|(total, _)| total).reduce(Memory::saturating_add);
    gpu.memory_free = parts().map(|(total, used)| total.saturating_sub(used)).reduce(Memory::saturating_add);
    gpu.utilisation_percent = sysfs.number(&format!("{DEVICES}/{}/gpu_busy_percent", card.address));
    gpu.celsius = celsius(sysfs, card);
    gpu.watts = watts(sysfs, card, &["power1_average", "power1_input"]);
    gpu.limit_watts = watts(sysfs, card, &["power1_cap"]);
    gpu.driver_version = sysfs.text("/sys/module/amdgpu/version");
    gpu.device_nodes = render.into_iter().chain([KFD.to_owned()]).collect();
    gpu
}

fn availability(sysfs: &Sysfs, card: &PciDevice, node: Option<&Node>, render: Option<&str>) -> Availability {
    let driven = driven(card, &["amdgpu"], "load the kernel module amdgpu");
    let computes = match node {
        Some(_) => Availability::Ready,
        None => Availability::NoDriver { reason: "KFD does not list it; ROCm does not know this card".to_owned() },
    };
    let opened = |path: &str| match sysfs.device(path) {
        Availability::NotPresent => Availability::NoDriver { reason: format!("{path} is not there; is udev running?") },
        other => other,
    };
    let render = render.map_or(Availability::Ready, opened);
    driven.and(computes).and(opened(KFD)).and(render)
}

/// What KFD tells of a card.
struct Node {
    name: Option<String>,
    properties: BTreeMap<String, u64>,
}

impl Node {
    /// KFD's nodes are found by their place on PCI.
    fn of(sysfs: &Sysfs, card: &PciDevice) -> Option<Self> {
        let (domain, location) = place(&card.address)?;
        sysfs.list(TOPOLOGY).into_iter().find_map(|node| {
            let at = format!("{TOPOLOGY}/{node}");
            let properties = properties(&sysfs.read(&format!("{at}/properties")).ok()?);
            let is_gpu = properties.get("simd_count").is_some_and(|count| *count > 0);
            let is_here = properties.get("location_id") == Some(&location)
                && properties.get("domain").copied().unwrap_or(0) == domain;
            (is_gpu && is_here).then(|| Self { name: sysfs.text(&format!("{at}/name")), properties })
        })
    }

    /// `110501` is gfx1151: the last two parts are hexadecimal digits.
    fn architecture(&self) -> Option<String> {
        let version = *self.properties.get("gfx_target_version").filter(|version| **version > 0)?;
        let (major, minor, step) = (version / 10_000, version / 100 % 100, version % 100);
        Some(format!("gfx{major}{minor:x}{step:x}"))
    }

    /// Older ones are one node with their processors; newer ones are known by their architecture only.
    fn is_part_of_a_processor(&self) -> bool {
        let has_cores = self.properties.get("cpu_cores_count").is_some_and(|count| *count > 0);
        has_cores || self.architecture().is_some_and(|architecture| INTEGRATED.contains(&architecture.as_str()))
    }
}

/// Lines of a name and a number.
fn properties(text: &str) -> BTreeMap<String, u64> {
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    pairs.filter_map(|(name, value)| Some((name.to_owned(), value.trim().parse().ok()?))).collect()
}

/// Domain, and bus, device and function in one number, of `0000:c5:00.0`.
fn place(address: &str) -> Option<(u64, u64)> {
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    let (rest, function) = address.rsplit_once('.')?;
    let mut parts = rest.split(':');
    let (domain, bus, device) = (hex(parts.next()?)?, hex(parts.next()?)?, hex(parts.next()?)?);
    let known = bus <= 0xff && device <= 0x1f && parts.next().is_none();
    known.then_some((domain, bus << 8 | device << 3 | hex(function)? & 7))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn places_on_the_bus_are_numbers_to_kfd() {
        for (address, expect) in [
            ("0000:c5:00.0", Some((0, 0xc500))),
            ("0001:03:02.1", Some((1, 0x0311))),
            ("0000:100:00.0", None),
            ("c5:00.0", None),
            ("", None),
        ] {
            assert_eq!(place(address), expect, "{address:?}");
        }
    }

    #[test]
    fn architectures_are_told_as_compilers_call_them() {
        let check = |version: u64, expect: Option<&str>| {
            let properties = BTreeMap::from([("gfx_target_version".to_owned(), version)]);
            let node = Node { name: None, properties };
            assert_eq!(node.architecture().as_deref(), expect);
        };
        check(110_501, Some("gfx1151"));
        check(90_402, Some("gfx942"));
        check(90_010, Some("gfx90a"));
        check(0, None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(\\PC|\n| |:|\\.|[0-9a-f]){0,40}") {
            place(&text);
            properties(&text);
        }

        #[test]
        fn no_number_panics(version: u64) {
            let properties = BTreeMap::from([("gfx_target_version".to_owned(), version)]);
            Node { name: None, properties }.is_part_of_a_processor();
        }
    }
}
