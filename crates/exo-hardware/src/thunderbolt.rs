//! Thunderbolt and USB4: what hangs on the cables.

use crate::Sysfs;
use crate::os::plain;
use serde::Serialize;

/// A device or another machine at the end of a cable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ThunderboltDevice {
    /// Its route, as the kernel calls it: `0-1`.
    pub route: String,
    /// Who made it.
    pub vendor: Option<String>,
    /// What it is.
    pub name: Option<String>,
    /// Whether another machine is there, to which a network can be made.
    pub is_host: bool,
    /// Whether it may be used; a question that only devices are asked.
    pub authorized: Option<bool>,
    /// Megabits in a second of all lanes of the cable towards this machine.
    pub speed_mbit: Option<u64>,
    /// The interface of the network to that machine: `thunderbolt0`.
    pub nic: Option<String>,
}

const DEVICES: &str = "/sys/bus/thunderbolt/devices";

/// Asks the kernel; this machine's own ports (`0-0`) are left out.
pub fn thunderbolt_devices(sysfs: &Sysfs) -> Vec<ThunderboltDevice> {
    let names = sysfs.list(DEVICES);
    let is_route = |name: &&String| {
        let parts = name.split_once('-').filter(|(domain, route)| {
            let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            digits(domain) && digits(route)
        });
        parts.is_some_and(|(_, route)| route.bytes().any(|digit| digit != b'0'))
    };
    names.iter().filter(is_route).map(|route| device(sysfs, &names, route)).collect()
}

fn device(sysfs: &Sysfs, names: &[String], route: &str) -> ThunderboltDevice {
    let at = |file: &str| format!("{DEVICES}/{route}/{file}");
    // A machine offers services, `0-1.0`; one of them is the network.
    let services = names.iter().filter(|name| name.strip_prefix(route).is_some_and(|rest| rest.starts_with('.')));
    let nics = services.flat_map(|service| sysfs.list(&format!("{DEVICES}/{service}/net")));
    ThunderboltDevice {
        vendor: sysfs.text(&at("vendor_name")).map(|name| plain(&name)),
        name: sysfs.text(&at("device_name")).map(|name| plain(&name)),
        is_host: sysfs.text(&at("authorized")).is_none(),
        authorized: sysfs.number::<u8>(&at("authorized")).map(|level| level > 0),
        speed_mbit: speed(sysfs, &format!("{DEVICES}/{route}")),
        nic: nics.into_iter().next(),
        route: route.to_owned(),
    }
}

/// Of the cable below a network interface, whose device is the service `0-1.0`.
pub(crate) fn speed_of(sysfs: &Sysfs, device: &str) -> Option<u64> {
    let service = sysfs.link(device)?;
    let (route, _) = service.split_once('.')?;
    speed(sysfs, &format!("{DEVICES}/{route}"))
}

fn speed(sysfs: &Sysfs, device: &str) -> Option<u64> {
    let of_lane = gigabits(&sysfs.text(&format!("{device}/rx_speed"))?)?;
    let lanes = sysfs.number::<u64>(&format!("{device}/rx_lanes")).unwrap_or(1);
    of_lane.checked_mul(lanes.clamp(1, 4))
}

/// `20.0 Gb/s`, in megabits.
pub(crate) fn gigabits(text: &str) -> Option<u64> {
    let number = text.split_whitespace().next()?.parse::<f64>().ok()?;
    (0.0..1e6).contains(&number).then(|| (number * 1000.0).round() as u64).filter(|speed| *speed > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn speeds_are_read_in_megabits() {
        for (text, expect) in [
            ("20.0 Gb/s", Some(20_000)),
            ("2.5 Gb/sec (1X SDR)", Some(2_500)),
            ("0 Gb/s", None),
            ("-1 Gb/s", None),
            ("NaN", None),
            ("", None),
        ] {
            assert_eq!(gigabits(text), expect, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[0-9.eE+-]{0,12} ?\\PC{0,10}") {
            gigabits(&text);
        }
    }
}
