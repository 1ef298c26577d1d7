//! Network interfaces.

mod bond;

use crate::addresses::{Interface, is_usable};
use crate::{Sysfs, thunderbolt};
pub use bond::{Bond, Leg};
use serde::Serialize;
use std::net::IpAddr;

/// What an interface is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum NicKind {
    /// A cable, or what behaves like one.
    Ethernet,
    /// Radio.
    Wireless,
    /// IP over InfiniBand.
    Infiniband,
    /// IP over a Thunderbolt or USB4 cable to another machine.
    Thunderbolt,
    /// Several interfaces that act as one.
    Bond,
    /// A switch in the kernel.
    Bridge,
    /// This machine itself.
    Loopback,
    /// Made by software: tunnels, containers, virtual networks.
    Virtual,
}

impl NicKind {
    /// As in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ethernet => "ethernet",
            Self::Wireless => "wireless",
            Self::Infiniband => "infiniband",
            Self::Thunderbolt => "thunderbolt",
            Self::Bond => "bond",
            Self::Bridge => "bridge",
            Self::Loopback => "loopback",
            Self::Virtual => "virtual",
        }
    }
}

/// One interface.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Nic {
    /// `eth0`.
    pub name: String,
    /// What it is.
    pub kind: NicKind,
    /// Whether it carries packets.
    pub up: bool,
    /// Megabits in a second; nothing where the driver does not tell.
    pub speed_mbit: Option<u64>,
    /// Largest packet in bytes.
    pub mtu: Option<u32>,
    /// Hardware address.
    pub mac: Option<String>,
    /// `mlx5_core`.
    pub driver: Option<String>,
    /// The part of the machine that it is attached to.
    pub numa_node: Option<u32>,
    /// Addresses that other machines can use.
    pub addresses: Vec<IpAddr>,
    /// If it is a bond.
    pub bond: Option<Bond>,
    /// The bond or bridge that it is a part of.
    pub member_of: Option<String>,
    /// RDMA devices on the same port: `mlx5_0`.
    pub rdma: Vec<String>,
}

const NET: &str = "/sys/class/net";
/// `ARPHRD_` of the kernel.
const TYPE_INFINIBAND: u32 = 32;
const TYPE_LOOPBACK: u32 = 772;

/// Asks the kernel; `interfaces` says which addresses there are.
pub fn nics(sysfs: &Sysfs, interfaces: &[Interface]) -> Vec<Nic> {
    // `bonding_masters` is a file there, and no interface.
    let names = sysfs.list(NET).into_iter().filter(|name| sysfs.exists(&format!("{NET}/{name}/type")));
    names.map(|name| nic(sysfs, interfaces, name)).collect()
}

fn nic(sysfs: &Sysfs, interfaces: &[Interface], name: String) -> Nic {
    let at = |file: &str| format!("{NET}/{name}/{file}");
    let addresses = interfaces.iter().filter(|one| one.name == name && is_usable(one.address));
    let state = sysfs.text(&at("operstate")).unwrap_or_default();
    // Some drivers do not tell; then what counts is whether there is a carrier.
    let up = state == "up" || (state == "unknown" && sysfs.number::<u8>(&at("carrier")) == Some(1));
    let kind = kind(sysfs, &name);
    let told = sysfs.number::<i64>(&at("speed")).and_then(|speed| u64::try_from(speed).ok());
    let cable = || (kind == NicKind::Thunderbolt).then(|| thunderbolt::speed_of(sysfs, &at("device"))).flatten();
    Nic {
        kind,
        up,
        // -1 and 2^32 - 1 both stand for unknown.
        speed_mbit: told.filter(|speed| (1..u64::from(u32::MAX)).contains(speed)).or_else(cable),
        mtu: sysfs.number(&at("mtu")),
        mac: sysfs.text(&at("address")).filter(|mac| mac.bytes().any(|byte| byte.is_ascii_hexdigit() && byte != b'0')),
        driver: sysfs.link(&at("device/driver")),
        numa_node: sysfs.number(&at("device/numa_node")),
        addresses: addresses.map(|one| one.address).collect(),
        bond: bond::read(sysfs, &name),
        member_of: sysfs.link(&at("master")),
        rdma: sysfs.list(&at("device/infiniband")),
        name,
    }
}

fn kind(sysfs: &Sysfs, name: &str) -> NicKind {
    let has = |entry: &str| sysfs.exists(&format!("{NET}/{name}/{entry}"));
    let number = sysfs.number::<u32>(&format!("{NET}/{name}/type"));
    if number == Some(TYPE_LOOPBACK) {
        NicKind::Loopback
    } else if has("bonding") {
        NicKind::Bond
    } else if has("bridge") {
        NicKind::Bridge
    } else if has("wireless") || has("phy80211") {
        NicKind::Wireless
    } else if number == Some(TYPE_INFINIBAND) {
        NicKind::Infiniband
    } else if sysfs.link(&format!("{NET}/{name}/device/subsystem")).as_deref() == Some("thunderbolt") {
        NicKind::Thunderbolt
    } else if has("device") {
        NicKind::Ethernet
    } else {
        NicKind::Virtual
    }
}
