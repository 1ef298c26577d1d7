//! Devices on PCI.

use crate::Sysfs;
use serde::Serialize;

pub(crate) const DEVICES: &str = "/sys/bus/pci/devices";

/// A card that shows pictures or computes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PciDevice {
    /// `0000:07:00.0`.
    pub(crate) address: String,
    pub(crate) vendor: u32,
    pub(crate) device: u32,
    /// `nvidia`, `amdgpu`.
    pub(crate) driver: Option<String>,
    pub(crate) numa_node: Option<u32>,
    pub(crate) link: Option<PcieLink>,
}

/// The link between a card and the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PcieLink {
    /// Now; cards save power by going down when they have nothing to do.
    pub generation: u32,
    /// Lanes now.
    pub width: u32,
    /// What both ends can do.
    pub max_generation: u32,
    /// Lanes that both ends have.
    pub max_width: u32,
}

/// All cards whose class is display (0x03) or processing accelerator (0x12).
pub(crate) fn accelerators(sysfs: &Sysfs) -> Vec<PciDevice> {
    sysfs.list(DEVICES).into_iter().filter_map(|address| device(sysfs, address)).collect()
}

fn device(sysfs: &Sysfs, address: String) -> Option<PciDevice> {
    let at = |file: &str| format!("{DEVICES}/{address}/{file}");
    let hex = |file: &str| hex(&sysfs.text(&at(file))?);
    let class = hex("class")?;
    if !matches!(class >> 16, 0x03 | 0x12) {
        return None;
    }
    Some(PciDevice {
        vendor: hex("vendor")?,
        device: hex("device").unwrap_or_default(),
        driver: sysfs.link(&at("driver")),
        numa_node: sysfs.number(&at("numa_node")),
        link: link(sysfs, &address),
        address,
    })
}

fn link(sysfs: &Sysfs, address: &str) -> Option<PcieLink> {
    let at = |file: &str| format!("{DEVICES}/{address}/{file}");
    let generation = |file: &str| generation(&sysfs.text(&at(file))?);
    Some(PcieLink {
        generation: generation("current_link_speed")?,
        width: sysfs.number(&at("current_link_width"))?,
        max_generation: generation("max_link_speed")?,
        max_width: sysfs.number(&at("max_link_width"))?,
    })
}

/// `16.0 GT/s PCIe` is the fourth.
fn generation(speed: &str) -> Option<u32> {
    const SPEEDS: [&str; 6] = ["2.5", "5.0", "8.0", "16.0", "32.0", "64.0"];
    let speed = speed.split_whitespace().next()?;
    let speed = if speed == "5" { "5.0" } else { speed };
    let place = SPEEDS.iter().position(|known| *known == speed)?;
    u32::try_from(place + 1).ok()
}

/// `0x10de`.
pub(crate) fn hex(text: &str) -> Option<u32> {
    u32::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn generations_are_told_by_their_speed() {
        for (speed, expect) in [
            ("2.5 GT/s PCIe", Some(1)),
            ("32.0 GT/s PCIe", Some(5)),
            ("5 GT/s", Some(2)),
            ("Unknown", None),
            ("", None),
        ] {
            assert_eq!(generation(speed), expect, "{speed:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,20}") {
            generation(&text);
            hex(&text);
        }
    }
}
