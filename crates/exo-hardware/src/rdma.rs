//! RDMA devices, as the kernel tells of them; libibverbs would tell no more that matters here.

use crate::thunderbolt::gigabits;
use crate::{Availability, Sysfs};
use serde::Serialize;

/// One device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RdmaDevice {
    /// `mlx5_0`, `rxe0`.
    pub name: String,
    /// `mlx5_core`; nothing for soft-RoCE.
    pub driver: Option<String>,
    /// Version of its firmware.
    pub firmware: Option<String>,
    /// Its name in the world.
    pub guid: Option<String>,
    /// The part of the machine that it is attached to.
    pub numa_node: Option<u32>,
    /// Its ports.
    pub ports: Vec<RdmaPort>,
    /// Whether programs may use it.
    pub availability: Availability,
}

/// One port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RdmaPort {
    /// Counted from 1.
    pub number: u32,
    /// `ACTIVE`, `DOWN`, `INIT`.
    pub state: String,
    /// `Ethernet` (RoCE) or `InfiniBand`.
    pub link_layer: String,
    /// Megabits in a second.
    pub speed_mbit: Option<u64>,
    /// Its addresses.
    pub gids: Vec<Gid>,
}

/// An address of a port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Gid {
    /// Its place in the table, which connections name.
    pub index: u32,
    /// As an IPv6 address is written.
    pub gid: String,
    /// `RoCE v2`, `IB/RoCE v1`.
    pub kind: Option<String>,
    /// The interface that has the address.
    pub nic: Option<String>,
}

impl RdmaDevice {
    /// Whether a connection could be made now.
    pub fn is_active(&self) -> bool {
        self.ports.iter().any(|port| port.state == "ACTIVE")
    }
}

const DEVICES: &str = "/sys/class/infiniband";
const VERBS: &str = "/sys/class/infiniband_verbs";

/// Asks the kernel.
pub fn rdma_devices(sysfs: &Sysfs) -> Vec<RdmaDevice> {
    sysfs.list(DEVICES).into_iter().map(|name| device(sysfs, name)).collect()
}

fn device(sysfs: &Sysfs, name: String) -> RdmaDevice {
    let at = |file: &str| format!("{DEVICES}/{name}/{file}");
    let ports = sysfs.list(&at("ports")).into_iter();
    RdmaDevice {
        driver: sysfs.link(&at("device/driver")),
        firmware: sysfs.text(&at("fw_ver")),
        guid: sysfs.text(&at("node_guid")),
        numa_node: sysfs.number(&at("device/numa_node")),
        ports: ports.filter_map(|port| self::port(sysfs, &at(&format!("ports/{port}")), &port)).collect(),
        availability: availability(sysfs, &name),
        name,
    }
}

/// Programs open `/dev/infiniband/uverbsN`, which the module ib_uverbs makes.
fn availability(sysfs: &Sysfs, name: &str) -> Availability {
    let is_its = |node: &String| sysfs.text(&format!("{VERBS}/{node}/ibdev")).as_deref() == Some(name);
    match sysfs.list(VERBS).into_iter().find(is_its) {
        Some(node) => match sysfs.device(&format!("/dev/infiniband/{node}")) {
            Availability::NotPresent => {
                Availability::NoDriver { reason: format!("/dev/infiniband/{node} is not there; is udev running?") }
            }
            other => other,
        },
        None => Availability::NoDriver { reason: "the kernel module ib_uverbs is not loaded".to_owned() },
    }
}

fn port(sysfs: &Sysfs, path: &str, name: &str) -> Option<RdmaPort> {
    // `4: ACTIVE`: number and name.
    let state = sysfs.text(&format!("{path}/state"))?;
    let state = state.rsplit(':').next().unwrap_or_default().trim().to_owned();
    Some(RdmaPort {
        number: name.parse().ok()?,
        state,
        link_layer: sysfs.text(&format!("{path}/link_layer")).unwrap_or_default(),
        speed_mbit: sysfs.text(&format!("{path}/rate")).as_deref().and_then(gigabits),
        gids: sysfs.list(&format!("{path}/gids")).iter().filter_map(|index| gid(sysfs, path, index)).collect(),
    })
}

/// Most places of the table are empty: all zeros.
fn gid(sysfs: &Sysfs, path: &str, index: &str) -> Option<Gid> {
    let gid = sysfs.text(&format!("{path}/gids/{index}"))?;
    let is_empty = gid.bytes().all(|byte| matches!(byte, b'0' | b':'));
    (!is_empty).then(|| Gid {
        index: index.parse().unwrap_or(u32::MAX),
        kind: sysfs.text(&format!("{path}/gid_attrs/types/{index}")),
        nic: sysfs.text(&format!("{path}/gid_attrs/ndevs/{index}")),
        gid,
    })
}
