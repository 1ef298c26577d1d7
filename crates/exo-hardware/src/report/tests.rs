//! Machines that are not here, recorded: `tests/machines/NAME.tree` holds what matters of their `/sys` and `/proc`.

mod tree;

use crate::{Availability, DiskKind, Hardware, Interface, NicKind, Questions, Sysfs, ThunderboltDevice, node_hardware};
use exo_types::Memory;
use proptest::prelude::*;
use std::path::Path;
use tree::Tree;

fn read(name: &str) -> Hardware {
    read_with(name, &[])
}

/// With these addresses, each `interface address`.
fn read_with(name: &str, addresses: &[&str]) -> Hardware {
    let interface = |pair: &&str| {
        let (name, address) = pair.split_once(' ').expect("interface and address");
        Interface { name: name.to_owned(), address: address.parse().expect("an address"), is_up: true }
    };
    let interfaces: Vec<_> = addresses.iter().map(interface).collect();
    let tree = Tree::unpack(name);
    let questions = Questions { directories: vec!["/var/lib/exo".into()], measure: false };
    Hardware::read(&Sysfs::at(tree.root()), &interfaces, &questions)
}

#[test]
fn a_dgx_has_eight_cards_two_sockets_and_a_bond_with_rdma() {
    let dgx = read_with("dgx", &["bond0 10.0.0.1", "bond0 fe80::1", "lo 127.0.0.1"]);
    assert_eq!((dgx.host_name.as_str(), dgx.machine.as_deref()), ("dgx01", Some("NVIDIA DGXH100")));
    assert_eq!((dgx.cpu.sockets, dgx.cpu.physical, dgx.cpu.logical), (2, 2, 4));
    assert!(dgx.cpu.features.iter().any(|feature| feature == "amx_int8"));
    let caches: Vec<_> = dgx.cpu.caches.iter().map(|cache| (cache.level, cache.size.in_bytes, cache.count)).collect();
    assert_eq!(caches, [(1, 48 << 10, 2), (3, 105 << 20, 2)]);
    assert_eq!(dgx.cpu.numa_nodes.iter().map(|node| node.processors).collect::<Vec<_>>(), [2, 2]);
    assert_eq!((dgx.cpu.max_mhz, dgx.cpu.governor.as_deref()), (Some(3800), Some("performance")));

    assert_eq!(dgx.gpus.len(), 8);
    assert!(dgx.gpus.iter().all(|gpu| gpu.name == "NVIDIA H100 80GB HBM3"));
    assert_eq!(dgx.gpus.iter().filter(|gpu| gpu.numa_node == Some(1)).count(), 4);
    assert!(dgx.gpus.iter().all(|gpu| gpu.pcie.is_some_and(|link| link.max_generation == 5 && link.width == 16)));

    let names: Vec<_> = dgx.nics.iter().map(|nic| (nic.name.as_str(), nic.kind, nic.up)).collect();
    assert_eq!(
        names,
        [
            ("bond0", NicKind::Bond, true),
            ("enp41s0f0np0", NicKind::Ethernet, true),
            ("enp170s0f0np0", NicKind::Ethernet, true),
            ("ibp24s0", NicKind::Infiniband, false),
            ("lo", NicKind::Loopback, false),
        ]
    );
    let bond = dgx.nics[0].bond.as_ref().expect("it is one");
    assert_eq!((bond.mode.as_str(), bond.dead_legs().count()), ("802.3ad", 0));
    assert_eq!(dgx.nics[0].addresses.len(), 1, "a link-local address leads nowhere");

    let [down, active] = dgx.rdma.as_slice() else { panic!("{:?}", dgx.rdma) };
    assert_eq!(
        (active.name.as_str(), active.is_active(), &active.availability),
        ("mlx5_bond_0", true, &Availability::Ready)
    );
    let gids: Vec<_> = active.ports[0].gids.iter().map(|gid| (gid.index, gid.kind.as_deref())).collect();
    assert_eq!(gids, [(0, Some("IB/RoCE v1")), (3, Some("RoCE v2"))]);
    assert_eq!(active.ports[0].speed_mbit, Some(800_000));
    assert!(!down.is_active());
    assert!(down.availability.to_string().contains("uverbs1"), "{}", down.availability);

    let told = node_hardware(None, &dgx.gpus, &dgx.nics, &dgx.rdma);
    let links: Vec<_> = told.links.iter().map(|link| (link.name.as_str(), link.speed_mbit, link.rdma.len())).collect();
    assert_eq!(links, [("bond0", Some(800_000), 1)]);
    assert_eq!(told.accelerators.len(), 8);
}

#[test]
fn strix_halo_computes_in_main_memory() {
    let halo = read("strix-halo");
    let [gpu] = halo.gpus.as_slice() else { panic!("{:?}", halo.gpus) };
    assert_eq!(gpu.architecture.as_deref(), Some("gfx1151"));
    assert_eq!((gpu.celsius, gpu.watts, gpu.utilisation_percent), (Some(41), Some(12), Some(3)));
    assert_eq!(gpu.availability, Availability::Ready);
    assert!(gpu.shares_memory);
    assert_eq!(gpu.memory_total, Some(Memory::bytes(536_870_912 + 115_964_116_992)));
    assert_eq!(halo.accelerators(), ["rocm", "cpu"]);
    assert_eq!(halo.device_nodes(), ["/dev/dri/renderD128", "/dev/kfd"]);
    assert!(halo.cpu.has_hyper_threads());
}

#[test]
fn a_bond_with_a_dead_leg_is_up_and_says_which() {
    let rack = read_with("mellanox-dead-leg", &["bond0 10.0.7.7"]);
    let nic = rack.nics.iter().find(|nic| nic.name == "bond0").expect("it is there");
    let bond = nic.bond.as_ref().expect("it is one");
    assert!(nic.up);
    assert_eq!((bond.mode.as_str(), bond.active.as_deref()), ("active-backup", Some("ens1f1np1")));
    assert_eq!(bond.dead_legs().collect::<Vec<_>>(), ["ens1f0np0"]);
    assert_eq!((bond.legs[0].failures, bond.legs[0].speed_mbit), (Some(4), None));
    let told = node_hardware(None, &[], &rack.nics, &rack.rdma);
    assert_eq!(told.links[0].rdma, ["mlx5_1"], "the device of the leg that lives");
    assert!(rack.rdma[1].availability.to_string().contains("ib_uverbs"));
}

#[test]
fn of_a_thunderbolt_pair_each_sees_the_other_and_how_fast_the_cable_is() {
    let left = read_with("thunderbolt-pair", &["thunderbolt0 10.9.0.1"]);
    let device =
        |route: &str, vendor: &str, name: &str, authorized: Option<bool>, nic: Option<&str>| ThunderboltDevice {
            route: route.to_owned(),
            vendor: Some(vendor.to_owned()),
            name: Some(name.to_owned()),
            is_host: authorized.is_none(),
            authorized,
            speed_mbit: Some(40_000),
            nic: nic.map(str::to_owned),
        };
    let right = device("0-1", "Linux", "right", None, Some("thunderbolt0"));
    assert_eq!(left.thunderbolt, [right, device("0-3", "CalDigit, Inc.", "TS4", Some(false), None)]);
    let nics: Vec<_> = left.nics.iter().map(|nic| (nic.name.as_str(), nic.kind, nic.speed_mbit)).collect();
    let expect = [("thunderbolt0", NicKind::Thunderbolt, Some(40_000)), ("wlp1s0", NicKind::Wireless, None)];
    assert_eq!(nics, expect);
}

#[test]
fn a_laptop_runs_on_its_battery_and_its_cards_say_why_they_cannot_be_used() {
    let laptop = read("laptop");
    let batteries: Vec<_> = laptop.power.batteries.iter().map(|one| (one.name.as_str(), one.percent)).collect();
    assert_eq!(batteries, [("BAT0", Some(63))], "the mouse's is not the machine's");
    assert_eq!((laptop.power.on_mains, laptop.power.batteries[0].watts), (Some(false), Some(8.123)));
    let zones: Vec<_> = laptop.power.rapl.zones.iter().map(|zone| (zone.name.as_str(), zone.limit_watts)).collect();
    assert_eq!(zones, [("package-0", Some(28.0)), ("core", None)]);
    let [nvidia, intel] = laptop.gpus.as_slice() else { panic!("{:?}", laptop.gpus) };
    assert!(nvidia.availability.to_string().contains("nouveau"), "{}", nvidia.availability);
    assert_eq!((&intel.availability, intel.shares_memory), (&Availability::Ready, true));
    assert_eq!(laptop.accelerators(), ["cpu"]);
}

#[test]
fn a_board_without_tables_of_its_firmware_is_read_too() {
    let berry = read("raspberry-pi");
    assert_eq!(berry.machine.as_deref(), Some("Raspberry Pi 5 Model B Rev 1.0"));
    assert_eq!((berry.cpu.model.as_str(), berry.cpu.physical), ("Raspberry Pi 5 Model B Rev 1.0", 4));
    assert!(berry.cpu.features.iter().any(|feature| feature == "asimddp"));
    assert_eq!((berry.nics[0].speed_mbit, berry.nics[0].driver.as_deref()), (Some(1000), Some("macb")));
    assert!(berry.gpus.is_empty());
    assert_eq!(berry.power.rapl.availability, Availability::NotPresent);
}

#[test]
fn a_container_is_as_large_as_its_limits() {
    let container = read("container");
    assert_eq!((container.cpu.logical, container.cpu.usable), (4, 3));
    assert_eq!(container.limits.processors, Some(2.5));
    let memory = container.limits.memory.expect("it has a limit");
    assert_eq!((memory.limit, memory.left), (Memory::mib(4 << 10), Memory::mib(3 << 10)));
    assert_eq!(container.pressure.cpu.map(|stall| stall.some), Some(12.5));
    assert_eq!((container.nics[0].kind, container.nics[0].up), (NicKind::Virtual, true));
    assert_eq!((container.disks[0].file_system.as_str(), container.disks[0].kind), ("overlay", DiskKind::Unknown));
}

#[test]
fn an_empty_tree_is_a_machine_of_which_nothing_is_known() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let nothing = Hardware::read(&Sysfs::at(folder.path()), &[], &Questions::default());
    assert_eq!((nothing.cpu.logical, nothing.memory.total), (0, Memory::default()));
    assert!(nothing.gpus.is_empty() && nothing.nics.is_empty() && nothing.rdma.is_empty());
    serde_json::to_string(&nothing).expect("it can be written");
}

#[test]
fn this_machine_is_read() {
    let questions = Questions { directories: vec!["/".into()], measure: true };
    let here = Hardware::of_host(&questions);
    assert!(here.memory.total.in_bytes > 0 && here.cpu.logical > 0);
    assert!(here.memory_bandwidth.is_none_or(|rate| rate > 0));
    serde_json::to_string(&here).expect("it can be written");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever stands in the files: nothing panics, and the report can be written.
    #[test]
    fn no_content_of_any_file_panics(name in prop::sample::select(tree::NAMES), bytes in prop::collection::vec(any::<u8>(), 0..64), nth in 0_usize..400) {
        let tree = Tree::unpack(name);
        tree.overwrite(nth, &bytes);
        let questions = Questions { directories: vec![Path::new("/var/lib/exo").to_owned()], measure: false };
        let read = Hardware::read(&Sysfs::at(tree.root()), &[], &questions);
        node_hardware(None, &read.gpus, &read.nics, &read.rdma);
        prop_assert!(serde_json::to_string(&read).is_ok());
    }
}
