//! The machine as people read it.

use crate::table::{bold, render};
use exo_hardware::{Disk, Gpu, Hardware, Nic, NicKind, Power, RdmaDevice, ThunderboltDevice};
use exo_types::Memory;

/// All of it; parts that the machine does not have are left out.
pub(super) fn page(hardware: &Hardware) -> String {
    let mut text = machine(hardware);
    section(
        &mut text,
        "Cards",
        &["NAME", "MEMORY FREE", "BUSY", "TEMP", "POWER", "PCIE", "ARCH", "STATE"],
        gpus(&hardware.gpus),
    );
    section(
        &mut text,
        "Network",
        &["NAME", "KIND", "STATE", "SPEED", "MTU", "DRIVER", "ADDRESSES", "REMARK"],
        nics(&hardware.nics),
    );
    section(&mut text, "RDMA", &["DEVICE", "PORT", "STATE", "LINK", "SPEED", "NETWORK", "USE"], rdma(&hardware.rdma));
    section(&mut text, "Thunderbolt", &["ROUTE", "DEVICE", "SPEED", "STATE"], thunderbolt(&hardware.thunderbolt));
    section(&mut text, "Disks", &["DIRECTORY", "FREE", "KIND", "FILE SYSTEM", "ON"], disks(&hardware.disks));
    section(&mut text, "Power", &["SOURCE", "STATE", "POWER"], power(&hardware.power));
    text
}

fn machine(hardware: &Hardware) -> String {
    let cpu = &hardware.cpu;
    let mut lines = vec![
        ("Machine", hardware.machine.clone().unwrap_or_else(|| hardware.host_name.clone())),
        ("System", format!("{}, Linux {}", hardware.os, hardware.kernel)),
        (
            "Processor",
            format!(
                "{}, {} cores, {} threads, {} usable{}",
                cpu.model,
                cpu.physical,
                cpu.logical,
                cpu.usable,
                sockets(hardware)
            ),
        ),
        ("Instructions", cpu.features.join(" ")),
    ];
    if !cpu.caches.is_empty() {
        let cache = |cache: &exo_hardware::Cache| {
            let kind = if cache.kind == "Instruction" { "i" } else { "" };
            format!("L{}{kind} {} × {}", cache.level, cache.count, cache.size)
        };
        lines.push(("Caches", cpu.caches.iter().map(cache).collect::<Vec<_>>().join(", ")));
    }
    lines.push(("Memory", memory(hardware)));
    if let Some(rate) = hardware.memory_bandwidth {
        lines.push(("Memory reads", gigabytes(rate)));
    }
    if let Some(pressure) = pressure(hardware) {
        lines.push(("Pressure", pressure));
    }
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let filled = lines.iter().filter(|(_, value)| !value.is_empty());
    filled.map(|(name, value)| format!("{} {value}\n", bold(&format!("{name:width$}")))).collect()
}

fn sockets(hardware: &Hardware) -> String {
    let cpu = &hardware.cpu;
    let mut text = String::new();
    if cpu.sockets > 1 {
        text.push_str(&format!(", {} sockets", cpu.sockets));
    }
    if cpu.numa_nodes.len() > 1 {
        text.push_str(&format!(", {} NUMA nodes", cpu.numa_nodes.len()));
    }
    text
}

fn memory(hardware: &Hardware) -> String {
    let memory = &hardware.memory;
    let mut text = format!("{} of {} free", memory.available, memory.total);
    if let Some(limit) = hardware.limits.memory {
        text.push_str(&format!("; the control group leaves {} of {}", limit.left, limit.limit));
    }
    if memory.swap_total > Memory::default() {
        text.push_str(&format!("; swap {} of {} free", memory.swap_free, memory.swap_total));
    }
    text
}

/// Only what waits.
fn pressure(hardware: &Hardware) -> Option<String> {
    let pressure = &hardware.pressure;
    let parts = [("processors", pressure.cpu), ("memory", pressure.memory), ("disks", pressure.io)];
    let waiting =
        parts.iter().filter_map(|(name, stall)| stall.filter(|stall| stall.some >= 1.0).map(|stall| (name, stall)));
    let told: Vec<String> = waiting.map(|(name, stall)| format!("{name} {:.0} %", stall.some)).collect();
    (!told.is_empty()).then(|| format!("{} of the last ten seconds", told.join(", ")))
}

fn section(text: &mut String, title: &str, headings: &[&str], rows: Vec<Vec<String>>) {
    if !rows.is_empty() {
        text.push_str(&format!("\n{}\n{}", bold(title), render(headings, &rows)));
    }
}

fn gpus(gpus: &[Gpu]) -> Vec<Vec<String>> {
    let row = |gpu: &Gpu| {
        let memory = match (gpu.memory_free, gpu.memory_total) {
            (Some(free), Some(total)) => {
                format!("{free} of {total}{}", if gpu.shares_memory { " (shared)" } else { "" })
            }
            _ => String::new(),
        };
        vec![
            gpu.name.clone(),
            memory,
            or_empty(gpu.utilisation_percent, |percent| format!("{percent} %")),
            or_empty(gpu.celsius, |celsius| format!("{celsius} °C")),
            or_empty(gpu.watts, |watts| format!("{watts} W")),
            or_empty(gpu.pcie, |link| format!("{}.0 ×{}", link.generation, link.width)),
            gpu.architecture.clone().unwrap_or_default(),
            gpu.availability.to_string(),
        ]
    };
    gpus.iter().map(row).collect()
}

/// Those that lead nowhere are left out: loopback, and virtual ones without an address.
fn nics(nics: &[Nic]) -> Vec<Vec<String>> {
    let leads = |nic: &&Nic| {
        let made_up = matches!(nic.kind, NicKind::Virtual | NicKind::Bridge) && nic.addresses.is_empty();
        nic.kind != NicKind::Loopback && !made_up
    };
    let row = |nic: &Nic| {
        let addresses: Vec<String> = nic.addresses.iter().map(ToString::to_string).collect();
        vec![
            nic.name.clone(),
            nic.kind.as_str().to_owned(),
            if nic.up { "up" } else { "down" }.to_owned(),
            or_empty(nic.speed_mbit, megabits),
            or_empty(nic.mtu, |mtu| mtu.to_string()),
            nic.driver.clone().unwrap_or_default(),
            addresses.join(" "),
            remark(nic),
        ]
    };
    nics.iter().filter(leads).map(row).collect()
}

fn remark(nic: &Nic) -> String {
    if let Some(bond) = &nic.bond {
        let legs = bond.legs.iter().map(|leg| match (leg.up, bond.active.as_deref() == Some(&leg.name)) {
            (false, _) => format!("{} DOWN", leg.name),
            (true, true) => format!("{} active", leg.name),
            (true, false) => leg.name.clone(),
        });
        return format!("{}: {}", bond.mode, legs.collect::<Vec<_>>().join(", "));
    }
    nic.member_of.as_ref().map(|of| format!("part of {of}")).unwrap_or_default()
}

fn rdma(devices: &[RdmaDevice]) -> Vec<Vec<String>> {
    let rows = devices.iter().flat_map(|device| {
        device.ports.iter().map(|port| {
            let mut nics: Vec<&str> = port.gids.iter().filter_map(|gid| gid.nic.as_deref()).collect();
            nics.dedup();
            vec![
                device.name.clone(),
                port.number.to_string(),
                port.state.clone(),
                port.link_layer.clone(),
                or_empty(port.speed_mbit, megabits),
                nics.join(" "),
                device.availability.to_string(),
            ]
        })
    });
    rows.collect()
}

fn thunderbolt(devices: &[ThunderboltDevice]) -> Vec<Vec<String>> {
    let row = |device: &ThunderboltDevice| {
        let name = [&device.vendor, &device.name].into_iter().flatten().cloned().collect::<Vec<_>>().join(" ");
        let state = match (&device.nic, device.is_host, device.authorized) {
            (Some(nic), ..) => format!("another machine, {nic}"),
            (None, true, _) => "another machine; no network to it, load thunderbolt-net".to_owned(),
            (None, false, Some(true)) => "authorized".to_owned(),
            (None, false, _) => "not authorized".to_owned(),
        };
        vec![device.route.clone(), name, or_empty(device.speed_mbit, megabits), state]
    };
    devices.iter().map(row).collect()
}

fn disks(disks: &[Disk]) -> Vec<Vec<String>> {
    let row = |disk: &Disk| {
        let free = match (disk.free, disk.total) {
            (Some(free), Some(total)) => format!("{free} of {total}"),
            _ => String::new(),
        };
        let read_only = if disk.read_only { ", read-only" } else { "" };
        vec![
            disk.directory.display().to_string(),
            free,
            disk.kind.as_str().to_owned(),
            format!("{}{read_only}", disk.file_system),
            format!("{} at {}", disk.source, disk.mount.display()),
        ]
    };
    disks.iter().map(row).collect()
}

fn power(power: &Power) -> Vec<Vec<String>> {
    let watts = |watts: Option<f64>| or_empty(watts, |watts| format!("{watts:.1} W"));
    let mains =
        power.on_mains.map(|on| vec!["mains".to_owned(), if on { "on" } else { "off" }.to_owned(), String::new()]);
    let batteries = power.batteries.iter().map(|battery| {
        let percent = or_empty(battery.percent, |percent| format!(", {percent} %"));
        vec![battery.name.clone(), format!("{}{percent}", battery.status), watts(battery.watts)]
    });
    let zones =
        power.rapl.zones.iter().map(|zone| {
            vec![zone.name.clone(), format!("energy counter, {}", power.rapl.availability), watts(zone.watts)]
        });
    mains.into_iter().chain(batteries).chain(zones).collect()
}

fn or_empty<T>(value: Option<T>, show: impl Fn(T) -> String) -> String {
    value.map(show).unwrap_or_default()
}

fn megabits(speed: u64) -> String {
    match speed {
        0..1000 => format!("{speed} Mbit/s"),
        _ => format!("{} Gbit/s", speed as f64 / 1000.0),
    }
}

fn gigabytes(rate: u64) -> String {
    format!("{:.1} GB/s", rate as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_are_told_in_their_usual_unit() {
        assert_eq!([megabits(100), megabits(2500), megabits(400_000)], ["100 Mbit/s", "2.5 Gbit/s", "400 Gbit/s"]);
        assert_eq!(gigabytes(51_230_000_000), "51.2 GB/s");
    }

    #[test]
    fn this_machine_fits_on_a_page() {
        let page = page(&Hardware::of_host(&exo_hardware::Questions::default()));
        for part in ["Processor", "Memory", "free"] {
            assert!(page.contains(part), "{page}");
        }
    }
}
