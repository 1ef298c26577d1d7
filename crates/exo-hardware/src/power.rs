//! Batteries, mains and energy counters.

use crate::os::plain;
use crate::{Availability, Sysfs};
use serde::Serialize;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Where the machine's power comes from, and how much it takes.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Power {
    /// Its batteries.
    pub batteries: Vec<Battery>,
    /// Whether a cable feeds it; nothing where there is no such thing to ask.
    pub on_mains: Option<bool>,
    /// Energy counters (RAPL).
    pub rapl: Rapl,
}

/// One battery.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Battery {
    /// `BAT0`.
    pub name: String,
    /// `Charging`, `Discharging`, `Full`, `Not charging`.
    pub status: String,
    /// How full it is.
    pub percent: Option<u32>,
    /// What it gives or takes.
    pub watts: Option<f64>,
}

/// The counters of the processors.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rapl {
    /// Most kernels let only root read them.
    pub availability: Availability,
    /// Each with what it counted.
    pub zones: Vec<Zone>,
}

/// One counter.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Zone {
    /// `package-0`, `dram`.
    pub name: String,
    /// Power while it was measured; nothing if that was not asked for.
    pub watts: Option<f64>,
    /// What the zone may take for long.
    pub limit_watts: Option<f64>,
}

const SUPPLIES: &str = "/sys/class/power_supply";
const POWERCAP: &str = "/sys/class/powercap";

/// Between the two readings that make power out of energy.
const MEASURED: Duration = Duration::from_millis(100);

impl Power {
    /// Asks the kernel. With `measure` the counters are read twice, a tenth of a second apart.
    pub fn read(sysfs: &Sysfs, measure: bool) -> Self {
        let kind = |name: &str| sysfs.text(&format!("{SUPPLIES}/{name}/type")).unwrap_or_default();
        let supplies = sysfs.list(SUPPLIES);
        let mains = supplies.iter().filter(|name| ["Mains", "USB"].contains(&kind(name).as_str()));
        let online = mains.filter_map(|name| sysfs.number::<u8>(&format!("{SUPPLIES}/{name}/online")));
        Self {
            on_mains: online.map(|online| online > 0).reduce(|a, b| a || b),
            batteries: supplies
                .iter()
                .filter(|name| is_battery(sysfs, name))
                .map(|name| battery(sysfs, name))
                .collect(),
            rapl: Rapl::read(sysfs, measure),
        }
    }
}

/// A mouse has a battery too; that one has the scope `Device`.
fn is_battery(sysfs: &Sysfs, name: &str) -> bool {
    let file = |file: &str| sysfs.text(&format!("{SUPPLIES}/{name}/{file}"));
    file("type").as_deref() == Some("Battery") && file("scope").as_deref() != Some("Device")
}

fn battery(sysfs: &Sysfs, name: &str) -> Battery {
    let micro = |file: &str| sysfs.number::<f64>(&format!("{SUPPLIES}/{name}/{file}")).map(|value| value.abs() / 1e6);
    let product = || Some(micro("current_now")? * micro("voltage_now")?);
    Battery {
        name: name.to_owned(),
        status: sysfs.text(&format!("{SUPPLIES}/{name}/status")).map(|text| plain(&text)).unwrap_or_default(),
        percent: sysfs.number(&format!("{SUPPLIES}/{name}/capacity")),
        watts: micro("power_now").or_else(product).filter(|watts| watts.is_finite()),
    }
}

impl Rapl {
    fn read(sysfs: &Sysfs, measure: bool) -> Self {
        let is_zone = |name: &String| name.contains("rapl:");
        let zones: Vec<String> = sysfs.list(POWERCAP).into_iter().filter(is_zone).collect();
        let Some(first) = zones.first() else {
            return Self { availability: Availability::NotPresent, zones: Vec::new() };
        };
        let availability = match sysfs.read(&format!("{POWERCAP}/{first}/energy_uj")) {
            Ok(_) => Availability::Ready,
            Err(why) => why,
        };
        let before = Instant::now();
        let energies = |wanted: bool| -> Vec<Option<u64>> {
            let energy = |zone: &String| sysfs.number(&format!("{POWERCAP}/{zone}/energy_uj")).filter(|_| wanted);
            zones.iter().map(energy).collect()
        };
        let measure = measure && availability.is_ready();
        let first = energies(measure);
        if measure {
            sleep(MEASURED);
        }
        let second = energies(measure);
        let elapsed = before.elapsed();
        let told = zones.iter().zip(first.into_iter().zip(second));
        let zones = told.map(|(zone, (first, second))| {
            let range = sysfs.number(&format!("{POWERCAP}/{zone}/max_energy_range_uj"));
            let limit = sysfs.number::<u64>(&format!("{POWERCAP}/{zone}/constraint_0_power_limit_uw"));
            Zone {
                name: sysfs.text(&format!("{POWERCAP}/{zone}/name")).map_or_else(|| zone.clone(), |name| plain(&name)),
                watts: watts(first, second, range, elapsed),
                limit_watts: limit.map(|limit| limit as f64 / 1e6),
            }
        });
        let zones = zones.collect();
        Self { availability, zones }
    }
}

/// From two readings of a counter of microjoules that starts again after `range`.
fn watts(first: Option<u64>, second: Option<u64>, range: Option<u64>, elapsed: Duration) -> Option<f64> {
    let (first, second) = (first?, second?);
    let used = match second.checked_sub(first) {
        Some(used) => used,
        None => range?.checked_sub(first)?.checked_add(second)?,
    };
    (!elapsed.is_zero()).then(|| used as f64 / 1e6 / elapsed.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn power_is_energy_over_time_also_when_the_counter_starts_again() {
        let second = Duration::from_secs(1);
        let check = |first, after, range, elapsed, expect| assert_eq!(watts(first, after, range, elapsed), expect);
        check(Some(1_000_000), Some(3_000_000), None, second, Some(2.0));
        check(Some(9_000_000), Some(1_000_000), Some(10_000_000), second, Some(2.0));
        check(Some(9_000_000), Some(1_000_000), None, second, None);
        check(Some(9), Some(1), Some(3), second, None);
        check(None, Some(1), None, second, None);
        check(Some(1), Some(2), None, Duration::ZERO, None);
    }
}
