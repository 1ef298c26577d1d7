//! Apple's chips under Linux: no PCI, told by the device tree.

use super::{Gpu, GpuVendor, on_bus};
use crate::memory::MainMemory;
use crate::os::plain;
use crate::pci::PciDevice;
use crate::{Availability, Sysfs};

/// The driver of the Asahi project, under the render node that it makes.
const DRIVER: &str = "asahi";

pub(super) fn read(sysfs: &Sysfs) -> Option<Gpu> {
    let compatible = sysfs.read("/proc/device-tree/compatible").ok()?;
    let names: Vec<&str> = compatible.split('\0').collect();
    // `apple,j314s`, `apple,t6000`, `apple,arm-platform`: the board, the chip, the family.
    let chip = names.iter().find_map(|name| name.strip_prefix("apple,t").filter(|chip| is_chip(chip)))?;
    let nodes = sysfs.list("/sys/class/drm");
    let is_driven = |node: &&String| {
        node.starts_with("renderD")
            && sysfs.link(&format!("/sys/class/drm/{node}/device/driver")).as_deref() == Some(DRIVER)
    };
    let node = nodes.iter().find(is_driven).map(|node| format!("/dev/dri/{node}"));
    let availability = match node.as_deref() {
        Some(node) => sysfs.device(node),
        None => {
            Availability::NoDriver { reason: "no driver for it; it needs a kernel of the Asahi project".to_owned() }
        }
    };
    let nowhere = PciDevice { address: String::new(), vendor: 0, device: 0, driver: None, numa_node: None, link: None };
    let memory = MainMemory::read(sysfs);
    Some(Gpu {
        name: format!("Apple T{}", plain(chip)),
        address: None,
        driver: node.as_ref().map(|_| DRIVER.to_owned()),
        memory_total: Some(memory.total),
        memory_free: Some(memory.available),
        shares_memory: true,
        device_nodes: node.into_iter().collect(),
        ..on_bus(GpuVendor::Apple, &nowhere, availability)
    })
}

fn is_chip(chip: &str) -> bool {
    !chip.is_empty() && chip.bytes().all(|byte| byte.is_ascii_alphanumeric())
}
