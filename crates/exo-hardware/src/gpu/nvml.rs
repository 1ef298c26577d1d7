//! What NVIDIA's management library tells.

use super::NvLink;
use crate::Availability;
use crate::os::plain;
use crate::pci::PcieLink;
use exo_types::Memory;
use nvml_wrapper::enum_wrappers::device::TemperatureSensor;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml, cuda_driver_version_major, cuda_driver_version_minor};
use std::ffi::OsStr;

/// As distributions call it, and where NixOS has it.
const LIBRARIES: [&str; 3] = ["libnvidia-ml.so.1", "libnvidia-ml.so", "/run/opengl-driver/lib/libnvidia-ml.so.1"];

/// More links than any card has.
const LINKS: u32 = 18;

/// What it tells of the driver and its cards.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Told {
    pub(super) driver_version: Option<String>,
    /// Newest CUDA that the driver runs.
    pub(super) cuda_version: Option<(i32, i32)>,
    pub(super) devices: Vec<NvmlDevice>,
}

/// One card. What the library refuses to tell is missing: some cards have no fan, some virtual ones no sensors.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct NvmlDevice {
    /// As the kernel writes it: `0000:07:00.0`.
    pub(super) address: Option<String>,
    pub(super) name: Option<String>,
    pub(super) minor: Option<u32>,
    pub(super) capability: Option<(i32, i32)>,
    pub(super) memory_total: Option<Memory>,
    pub(super) memory_free: Option<Memory>,
    pub(super) utilisation_percent: Option<u32>,
    pub(super) celsius: Option<u32>,
    pub(super) milliwatts: Option<u32>,
    pub(super) limit_milliwatts: Option<u32>,
    pub(super) pcie: Option<PcieLink>,
    pub(super) nvlinks: Vec<NvLink>,
}

/// Loads the library and asks everything. May hang with a broken driver.
pub(super) fn ask() -> Result<Told, Availability> {
    let nvml = load().map_err(|error| why(&error))?;
    let count = nvml.device_count().map_err(|error| why(&error))?;
    let devices = (0..count).filter_map(|index| nvml.device_by_index(index).ok());
    let version = |cuda| (cuda_driver_version_major(cuda), cuda_driver_version_minor(cuda));
    Ok(Told {
        driver_version: nvml.sys_driver_version().ok().map(|text| plain(&text)),
        cuda_version: nvml.sys_cuda_driver_version().ok().map(version),
        devices: devices.map(|device| told(&device)).collect(),
    })
}

fn load() -> Result<Nvml, NvmlError> {
    let mut last = NvmlError::LibraryNotFound;
    for library in LIBRARIES {
        match Nvml::builder().lib_path(OsStr::new(library)).init() {
            Ok(nvml) => return Ok(nvml),
            // The next name is tried only if this one is no file: any other error would come again.
            Err(NvmlError::LibloadingError(error)) => last = NvmlError::LibloadingError(error),
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

fn told(device: &Device<'_>) -> NvmlDevice {
    let memory = device.memory_info().ok();
    let capability = device.cuda_compute_capability().ok();
    NvmlDevice {
        address: device.pci_info().ok().map(|pci| address(pci.domain, pci.bus, pci.device)),
        name: device.name().ok().map(|name| plain(&name)),
        minor: device.minor_number().ok(),
        capability: capability.map(|version| (version.major, version.minor)),
        memory_total: memory.as_ref().map(|memory| Memory::bytes(memory.total)),
        memory_free: memory.as_ref().map(|memory| Memory::bytes(memory.free)),
        utilisation_percent: device.utilization_rates().ok().map(|rates| rates.gpu),
        celsius: device.temperature(TemperatureSensor::Gpu).ok(),
        milliwatts: device.power_usage().ok(),
        limit_milliwatts: device.enforced_power_limit().ok(),
        pcie: pcie(device),
        nvlinks: (0..LINKS).filter_map(|link| nvlink(device, link)).collect(),
    }
}

fn pcie(device: &Device<'_>) -> Option<PcieLink> {
    Some(PcieLink {
        generation: device.current_pcie_link_gen().ok()?,
        width: device.current_pcie_link_width().ok()?,
        max_generation: device.max_pcie_link_gen().ok()?,
        max_width: device.max_pcie_link_width().ok()?,
    })
}

fn nvlink(device: &Device<'_>, link: u32) -> Option<NvLink> {
    let wrapper = device.link_wrapper_for(link);
    let active = wrapper.is_active().ok()?;
    active.then(|| NvLink {
        link,
        version: wrapper.version().ok(),
        peer: wrapper.remote_pci_info().ok().map(|pci| address(pci.domain, pci.bus, pci.device)),
    })
}

/// As sysfs writes it; the library has its own way.
fn address(domain: u32, bus: u32, device: u32) -> String {
    format!("{domain:04x}:{bus:02x}:{device:02x}.0")
}

/// Why the library gives no answer, as a state.
fn why(error: &NvmlError) -> Availability {
    let no_driver = |reason: &str| Availability::NoDriver { reason: reason.to_owned() };
    match error {
        NvmlError::LibloadingError(_) | NvmlError::LibraryNotFound => {
            no_driver("libnvidia-ml.so.1 is not found; install the libraries of NVIDIA's driver")
        }
        NvmlError::DriverNotLoaded => no_driver("NVIDIA's kernel modules are not loaded; run modprobe nvidia"),
        NvmlError::NoPermission => Availability::NoPermission { path: "/dev/nvidiactl".to_owned() },
        NvmlError::LibRmVersionMismatch => Availability::Unusable {
            reason: "NVIDIA's kernel modules and libraries are of different versions; restart the machine".to_owned(),
        },
        other => Availability::Unusable { reason: format!("NVIDIA's library says: {other}") },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_the_kernel_does() {
        assert_eq!(address(0, 7, 0), "0000:07:00.0");
        assert_eq!(address(1, 0xb7, 0), "0001:b7:00.0");
    }

    #[test]
    fn what_is_missing_is_a_state() {
        assert!(matches!(why(&NvmlError::LibraryNotFound), Availability::NoDriver { .. }));
        assert!(matches!(why(&NvmlError::DriverNotLoaded), Availability::NoDriver { .. }));
        assert!(matches!(why(&NvmlError::NoPermission), Availability::NoPermission { .. }));
        assert!(matches!(why(&NvmlError::GpuLost), Availability::Unusable { .. }));
    }
}
