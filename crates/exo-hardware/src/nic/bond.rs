//! Several interfaces that act as one.

use super::NET;
use crate::Sysfs;
use serde::Serialize;

/// How.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Bond {
    /// `active-backup`, `802.3ad`.
    pub mode: String,
    /// The leg that is used, in modes that use one.
    pub active: Option<String>,
    /// Milliseconds between two looks at the legs; a dead one is not noticed with 0.
    pub miimon: Option<u32>,
    /// Its parts.
    pub legs: Vec<Leg>,
}

/// A part of a bond.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Leg {
    /// `eth1`.
    pub name: String,
    /// Whether the bond finds its link in order.
    pub up: bool,
    /// Megabits in a second.
    pub speed_mbit: Option<u64>,
    /// How often its link was lost.
    pub failures: Option<u64>,
}

impl Bond {
    /// Names of the legs that carry nothing.
    pub fn dead_legs(&self) -> impl Iterator<Item = &str> {
        self.legs.iter().filter(|leg| !leg.up).map(|leg| leg.name.as_str())
    }
}

/// Asks the kernel; nothing if the interface is no bond.
pub(super) fn read(sysfs: &Sysfs, name: &str) -> Option<Bond> {
    let at = |file: &str| format!("{NET}/{name}/bonding/{file}");
    // `active-backup 1`: name and number.
    let mode = sysfs.text(&at("mode"))?.split_whitespace().next()?.to_owned();
    let legs = sysfs.text(&at("slaves")).unwrap_or_default();
    Some(Bond {
        mode,
        active: sysfs.text(&at("active_slave")),
        miimon: sysfs.number(&at("miimon")),
        legs: legs.split_whitespace().map(|leg| self::leg(sysfs, leg)).collect(),
    })
}

fn leg(sysfs: &Sysfs, name: &str) -> Leg {
    let at = |file: &str| format!("{NET}/{name}/{file}");
    let speed = sysfs.number::<i64>(&at("speed")).and_then(|speed| u64::try_from(speed).ok());
    Leg {
        name: name.to_owned(),
        up: sysfs.text(&at("bonding_slave/mii_status")).as_deref() == Some("up"),
        speed_mbit: speed.filter(|speed| (1..u64::from(u32::MAX)).contains(speed)),
        failures: sysfs.number(&at("bonding_slave/link_failure_count")),
    }
}
