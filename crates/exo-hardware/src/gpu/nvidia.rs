//! NVIDIA's cards: what the bus, the driver's files and its library tell, put together.

use super::cuda::{Passed, Test};
use super::nvml::{NvmlDevice, Told};
use super::{Gpu, GpuVendor, driven, on_bus};
use crate::os::plain;
use crate::pci::PciDevice;
use crate::{Availability, Sysfs};

pub(super) const VENDOR: u32 = 0x10de;

const REMEDY: &str = "install NVIDIA's driver";

const OLDEST_CUDA: (i32, i32) = (12, 0);
/// The first that runs it.
const OLDEST_DRIVER: u32 = 525;

/// Every card of the bus, and those that only the library knows (boards without PCI).
pub(super) fn read(sysfs: &Sysfs, cards: &[PciDevice], told: Result<Told, Availability>) -> Vec<Gpu> {
    let (told, library) = match told {
        Ok(told) => (told, Availability::Ready),
        Err(why) => (Told::default(), why),
    };
    let mut gpus = Vec::new();
    let mut devices = told.devices.clone();
    for card in cards.iter().filter(|card| card.vendor == VENDOR) {
        let mut gpu = on_bus(GpuVendor::Nvidia, card, driven(card, &["nvidia"], REMEDY));
        if let Some(name) = name(sysfs, &card.address) {
            gpu.name = name;
        }
        let place = devices.iter().position(|device| device.address.as_deref() == Some(&card.address));
        match place {
            Some(place) => {
                enrich(&mut gpu, devices.swap_remove(place), &told);
                gpu.availability = gpu.availability.and(age(&told));
            }
            None => gpu.availability = gpu.availability.and(unanswered(&library)),
        }
        gpus.push(gpu);
    }
    for device in devices {
        let mut gpu = on_bus(GpuVendor::Nvidia, &nowhere(), age(&told));
        gpu.address = None;
        enrich(&mut gpu, device, &told);
        gpus.push(gpu);
    }
    for gpu in gpus.iter_mut().filter(|gpu| gpu.availability.is_ready()) {
        gpu.availability = permission(sysfs, &gpu.device_nodes);
    }
    gpus
}

/// Kernels are compiled by NVRTC of CUDA 12, which an older driver does not run.
fn age(told: &Told) -> Availability {
    let Some(cuda) = told.cuda_version.filter(|cuda| *cuda < OLDEST_CUDA) else { return Availability::Ready };
    let driver = told.driver_version.as_deref().unwrap_or("of unknown version");
    Availability::NoDriver {
        reason: format!(
            "driver {driver} is too old: it runs CUDA {} and exo needs {}; install driver {OLDEST_DRIVER} or newer",
            dotted(cuda),
            dotted(OLDEST_CUDA)
        ),
    }
}

fn dotted((major, minor): (i32, i32)) -> String {
    format!("{major}.{minor}")
}

/// A card that the library does not list although it answers.
fn unanswered(library: &Availability) -> Availability {
    match library {
        Availability::Ready | Availability::NotPresent => Availability::Unusable {
            reason: "NVIDIA's library does not list it; see dmesg for NVRM and Xid".to_owned(),
        },
        why => why.clone(),
    }
}

fn nowhere() -> PciDevice {
    PciDevice { address: String::new(), vendor: VENDOR, device: 0, driver: None, numa_node: None, link: None }
}

fn enrich(gpu: &mut Gpu, device: NvmlDevice, told: &Told) {
    if let Some(name) = device.name {
        gpu.name = name;
    }
    gpu.driver_version.clone_from(&told.driver_version);
    gpu.cuda_version = told.cuda_version.map(dotted);
    gpu.architecture = device.capability.map(dotted);
    gpu.memory_total = device.memory_total;
    gpu.memory_free = device.memory_free;
    gpu.utilisation_percent = device.utilisation_percent;
    gpu.celsius = device.celsius;
    gpu.watts = device.milliwatts.map(|milli| milli / 1000);
    gpu.limit_watts = device.limit_milliwatts.map(|milli| milli / 1000);
    gpu.pcie = device.pcie.or(gpu.pcie);
    gpu.nvlinks = device.nvlinks;
    let own = device.minor.map(|minor| format!("/dev/nvidia{minor}"));
    gpu.device_nodes = own.into_iter().chain(["/dev/nvidiactl", "/dev/nvidia-uvm"].map(str::to_owned)).collect();
}

/// The library answers without the module that computing needs: `nvidia-uvm` is loaded by root's first CUDA program.
fn permission(sysfs: &Sysfs, nodes: &[String]) -> Availability {
    let closed = |node: &String| match sysfs.device(node) {
        Availability::Ready => None,
        Availability::NotPresent if node == "/dev/nvidia-uvm" => Some(Availability::NoDriver {
            reason: "/dev/nvidia-uvm is not there; run modprobe nvidia-uvm (nvidia-modprobe -u)".to_owned(),
        }),
        Availability::NotPresent => None,
        other => Some(other),
    };
    nodes.iter().find_map(closed).unwrap_or(Availability::Ready)
}

/// `Model: NVIDIA H100 80GB HBM3`, which the driver tells without its library.
fn name(sysfs: &Sysfs, address: &str) -> Option<String> {
    let information = sysfs.read(&format!("/proc/driver/nvidia/gpus/{address}/information")).ok()?;
    let mut lines = information.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(key, _)| key.trim() == "Model").map(|(_, name)| plain(name.trim()))
}

/// Puts the self-tests to the cards that seemed usable before.
pub(super) fn take_tests(gpus: &mut [Gpu], tests: Result<Vec<Test>, String>) {
    for gpu in gpus.iter_mut().filter(|gpu| gpu.is_ready_for_cuda()) {
        match result_of(gpu, &tests) {
            Ok(passed) => {
                gpu.memory_bandwidth = passed.memory_bandwidth;
                let told = passed.capability.map(dotted);
                gpu.architecture = told.or(gpu.architecture.take());
            }
            Err(reason) => gpu.availability = Availability::Unusable { reason: format!("{reason}; the CPU is used") },
        }
    }
}

fn result_of(gpu: &Gpu, tests: &Result<Vec<Test>, String>) -> Result<Passed, String> {
    let tests = tests.as_ref().map_err(Clone::clone)?;
    // A card without a context does not tell its place; a board without PCI has none.
    let own = tests.iter().find(|test| test.address == gpu.address);
    let unplaced = || tests.iter().find(|test| test.address.is_none());
    match own.or_else(unplaced) {
        Some(test) => test.result.clone(),
        None => Err("CUDA does not list it; see CUDA_VISIBLE_DEVICES and dmesg".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use exo_types::Memory;

    fn card(address: &str, driver: Option<&str>) -> PciDevice {
        let driver = driver.map(str::to_owned);
        PciDevice { address: address.to_owned(), driver, device: 0x2330, ..nowhere() }
    }

    fn read_with(cards: &[PciDevice], told: Result<Told, Availability>) -> Vec<Gpu> {
        let folder = tempfile::tempdir().expect("a temporary directory");
        std::fs::create_dir_all(folder.path().join("dev")).expect("it is made");
        for node in ["nvidia0", "nvidiactl", "nvidia-uvm"] {
            std::fs::write(folder.path().join("dev").join(node), "").expect("it is written");
        }
        read(&Sysfs::at(folder.path()), cards, told)
    }

    #[test]
    fn the_library_and_the_bus_tell_of_the_same_card() {
        let device = NvmlDevice {
            address: Some("0000:07:00.0".to_owned()),
            name: Some("NVIDIA H100".to_owned()),
            minor: Some(0),
            capability: Some((9, 0)),
            memory_total: Some(Memory::mib(80 << 10)),
            milliwatts: Some(71_500),
            ..NvmlDevice::default()
        };
        let board = NvmlDevice { name: Some("Thor".to_owned()), ..NvmlDevice::default() };
        let told = Told { devices: vec![device, board], driver_version: Some("570.1".to_owned()), ..Told::default() };
        let gpus = read_with(&[card("0000:07:00.0", Some("nvidia")), card("0000:0f:00.0", Some("nvidia"))], Ok(told));
        let names: Vec<_> = gpus.iter().map(|gpu| gpu.name.as_str()).collect();
        assert_eq!(names, ["NVIDIA H100", "NVIDIA 10de:2330", "Thor"]);
        assert_eq!((gpus[0].architecture.as_deref(), gpus[0].watts), (Some("9.0"), Some(71)));
        assert_eq!(gpus[0].availability, Availability::Ready);
        assert!(matches!(&gpus[1].availability, Availability::Unusable { reason } if reason.contains("dmesg")));
    }

    #[test]
    fn the_first_thing_in_the_way_is_told() {
        let no_library = || Availability::NoDriver { reason: "libnvidia-ml.so.1 is not found".to_owned() };
        for (driver, told, expect) in [
            (None, Err(no_library()), "no driver is bound"),
            (Some("nouveau"), Err(no_library()), "nouveau does not compute"),
            (Some("vfio-pci"), Err(no_library()), "virtual machines"),
            (Some("nvidia"), Err(no_library()), "libnvidia-ml.so.1"),
            (Some("nvidia"), Err(Availability::NoPermission { path: "/dev/nvidiactl".to_owned() }), "/dev/nvidiactl"),
        ] {
            let gpus = read_with(&[card("0000:07:00.0", driver)], told);
            let told = gpus[0].availability.to_string();
            assert!(told.contains(expect), "{driver:?}: {told}");
        }
    }

    #[test]
    fn a_driver_that_is_too_old_for_the_compiler_is_told_with_the_one_that_is_not() {
        for (cuda, expect) in [
            (
                Some((11, 4)),
                "no driver: driver 470.82.01 is too old: it runs CUDA 11.4 and exo needs 12.0; install driver 525",
            ),
            (Some((12, 0)), "ready"),
            (Some((13, 1)), "ready"),
            (None, "ready"),
        ] {
            let address = "0000:07:00.0";
            let device = NvmlDevice { address: Some(address.to_owned()), minor: Some(0), ..NvmlDevice::default() };
            let told = Told {
                devices: vec![device, NvmlDevice::default()],
                driver_version: Some("470.82.01".to_owned()),
                cuda_version: cuda,
            };
            // One on the bus, and a board without one.
            for gpu in read_with(&[card(address, Some("nvidia"))], Ok(told)) {
                let told = gpu.availability.to_string();
                assert!(told.starts_with(expect), "{cuda:?}: {told}");
                assert_eq!(gpu.cuda_version, cuda.map(dotted));
            }
        }
    }

    #[test]
    fn a_card_that_fails_its_test_is_unusable_and_the_others_are_not() {
        let mut gpus = read_with(
            &[card("0000:07:00.0", None), card("0000:0f:00.0", None), card("0000:10:00.0", None)],
            Ok(Told::default()),
        );
        for gpu in &mut gpus[1..] {
            gpu.availability = Availability::Ready;
        }
        let passed = Passed { capability: Some((9, 0)), memory_bandwidth: Some(3_000_000_000_000) };
        // CUDA counts in an order of its own.
        let test = |address: &str, result| Test { address: Some(address.to_owned()), result };
        let tests = vec![
            test("0000:10:00.0", Ok(passed)),
            test("0000:07:00.0", Err("not asked".to_owned())),
            test("0000:0f:00.0", Err("NVRTC does not compile".to_owned())),
        ];
        take_tests(&mut gpus, Ok(tests));
        assert!(matches!(&gpus[0].availability, Availability::NoDriver { .. }));
        assert!(gpus[1].availability.to_string().contains("NVRTC does not compile; the CPU is used"));
        assert!(gpus[2].availability.is_ready() && gpus[2].memory_bandwidth.is_some());
        take_tests(&mut gpus, Ok(Vec::new()));
        assert!(gpus[2].availability.to_string().contains("does not list it"));
    }
}
