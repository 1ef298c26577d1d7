//! Graphics and compute cards of all makers.

mod amd;
mod apple;
mod cuda;
mod intel;
mod nvidia;
mod nvml;

use crate::pci::{PciDevice, PcieLink, accelerators};
use crate::{Availability, Sysfs};
use exo_types::Memory;
use serde::Serialize;
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Who made it; decides what can compute on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum GpuVendor {
    /// CUDA.
    Nvidia,
    /// ROCm.
    Amd,
    /// Level Zero.
    Intel,
    /// Metal, or Asahi on Linux.
    Apple,
}

impl GpuVendor {
    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nvidia => "NVIDIA",
            Self::Amd => "AMD",
            Self::Intel => "Intel",
            Self::Apple => "Apple",
        }
    }

    /// What the maker's runtime is called in the configuration: `preferredAccelerator`.
    pub fn runtime(self) -> Option<&'static str> {
        match self {
            Self::Nvidia => Some("cuda"),
            Self::Amd => Some("rocm"),
            Self::Apple => Some("mlx"),
            Self::Intel => None,
        }
    }
}

/// One card.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Gpu {
    /// Who made it.
    pub vendor: GpuVendor,
    /// `NVIDIA H100 80GB HBM3`.
    pub name: String,
    /// Its place on PCI.
    pub address: Option<String>,
    /// The kernel's driver.
    pub driver: Option<String>,
    /// Version of the driver.
    pub driver_version: Option<String>,
    /// Newest CUDA that the driver runs: `12.8`.
    pub cuda_version: Option<String>,
    /// What code for it is compiled for: `9.0`, `gfx1151`.
    pub architecture: Option<String>,
    /// Memory of its own, or the part of main memory that it may use.
    pub memory_total: Option<Memory>,
    /// Of that, what is free.
    pub memory_free: Option<Memory>,
    /// Whether that is main memory.
    pub shares_memory: bool,
    /// Bytes in a second that it moves in its memory; measured by the self-test of NVIDIA's cards.
    pub memory_bandwidth: Option<u64>,
    /// How busy it is.
    pub utilisation_percent: Option<u32>,
    /// How warm it is.
    pub celsius: Option<u32>,
    /// What it takes.
    pub watts: Option<u32>,
    /// What it may take.
    pub limit_watts: Option<u32>,
    /// Its link to the machine.
    pub pcie: Option<PcieLink>,
    /// Links to other cards.
    pub nvlinks: Vec<NvLink>,
    /// The part of the machine that it is attached to.
    pub numa_node: Option<u32>,
    /// Files that a process needs for it.
    pub device_nodes: Vec<String>,
    /// Whether it can be used.
    pub availability: Availability,
}

impl Gpu {
    fn is_ready_for_cuda(&self) -> bool {
        self.vendor == GpuVendor::Nvidia && self.availability.is_ready()
    }
}

/// A link of NVIDIA's between cards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NvLink {
    /// Counted from 0.
    pub link: u32,
    /// Generation.
    pub version: Option<u32>,
    /// Where it leads: the address of another card or of a switch.
    pub peer: Option<String>,
}

/// What is asked besides the kernel. Libraries of drivers may hang: each has a deadline, and is left alone after it.
#[derive(Debug, Clone, Copy, Default)]
pub struct GpuQuestions {
    /// Run a kernel on every NVIDIA card.
    pub self_test: bool,
}

/// Loading the driver's library takes up to seconds where the driver keeps no state between its users.
const NVML_DEADLINE: Duration = Duration::from_secs(10);

/// Making a context and compiling a kernel takes about a second for each card.
const CUDA_DEADLINE: Duration = Duration::from_secs(30);

/// Asks the kernel, and the libraries of drivers if this is the machine itself.
pub fn gpus(sysfs: &Sysfs, questions: GpuQuestions) -> Vec<Gpu> {
    let cards = accelerators(sysfs);
    let mut found = told_by(sysfs, &cards, nvml(sysfs, &cards));
    if questions.self_test && sysfs.is_host() && found.iter().any(Gpu::is_ready_for_cuda) {
        nvidia::take_tests(&mut found, self_tests());
    }
    found
}

/// All cards, as the kernel and NVIDIA's library tell of them.
fn told_by(sysfs: &Sysfs, cards: &[PciDevice], told: Result<nvml::Told, Availability>) -> Vec<Gpu> {
    let mut found = nvidia::read(sysfs, cards, told);
    found.extend(amd::read(sysfs, cards));
    found.extend(intel::read(sysfs, cards));
    found.extend(apple::read(sysfs));
    found
}

/// The library is loaded only where something of NVIDIA's may be: a card, or a driver of a board without PCI.
fn nvml(sysfs: &Sysfs, cards: &[PciDevice]) -> Result<nvml::Told, Availability> {
    let may_be = cards.iter().any(|card| card.vendor == nvidia::VENDOR) || sysfs.exists("/dev/nvidiactl");
    if !may_be || !sysfs.is_host() {
        return Err(Availability::NotPresent);
    }
    static STUCK: Stuck = Mutex::new(None);
    within(&STUCK, NVML_DEADLINE, nvml::ask).unwrap_or_else(|| Err(hangs("libnvidia-ml", NVML_DEADLINE)))
}

fn self_tests() -> Result<Vec<cuda::Test>, String> {
    static STUCK: Stuck = Mutex::new(None);
    let late = || format!("no answer of the CUDA driver in {CUDA_DEADLINE:?}; see dmesg");
    within(&STUCK, CUDA_DEADLINE, cuda::self_tests).unwrap_or_else(|| Err(late()))
}

fn hangs(what: &str, deadline: Duration) -> Availability {
    Availability::Unusable {
        reason: format!("{what} did not answer in {deadline:?}; see dmesg, or restart the machine"),
    }
}

/// Runs what may hang or panic in a thread of its own. A thread that hangs in a driver cannot be ended: it stays, and
/// while it does nobody asks again (`stuck`).
fn within<T: Send + 'static>(stuck: &Stuck, deadline: Duration, ask: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let mut stuck = stuck.lock().unwrap_or_else(PoisonError::into_inner);
    if stuck.as_ref().is_some_and(|thread| !thread.is_finished()) {
        return None;
    }
    let (sender, receiver) = sync_channel(1);
    let answer = move || {
        // Nobody listens any more if it came too late.
        let _late = sender.send(ask());
    };
    let thread = std::thread::Builder::new().name("gpu-probe".to_owned()).spawn(answer).ok()?;
    let answer = receiver.recv_timeout(deadline).ok();
    *stuck = answer.is_none().then_some(thread);
    answer
}

/// The thread that did not answer in time.
type Stuck = Mutex<Option<JoinHandle<()>>>;

/// A card of which only the bus tells.
fn on_bus(vendor: GpuVendor, card: &PciDevice, availability: Availability) -> Gpu {
    Gpu {
        vendor,
        name: format!("{} {:04x}:{:04x}", vendor.as_str(), card.vendor, card.device),
        address: Some(card.address.clone()),
        driver: card.driver.clone(),
        driver_version: None,
        cuda_version: None,
        architecture: None,
        memory_total: None,
        memory_free: None,
        shares_memory: false,
        memory_bandwidth: None,
        utilisation_percent: None,
        celsius: None,
        watts: None,
        limit_watts: None,
        pcie: card.link,
        nvlinks: Vec::new(),
        numa_node: card.numa_node,
        device_nodes: Vec::new(),
        availability,
    }
}

/// Whether the kernel's driver is one that computes; what to do otherwise.
fn driven(card: &PciDevice, wanted: &[&str], remedy: &str) -> Availability {
    match card.driver.as_deref() {
        Some(driver) if wanted.contains(&driver) => Availability::Ready,
        Some("vfio-pci") => Availability::Unusable {
            reason: "it is given to virtual machines (vfio-pci); take it back to use it here".to_owned(),
        },
        Some(other) => Availability::NoDriver { reason: format!("driver {other} does not compute; {remedy}") },
        None => Availability::NoDriver { reason: format!("no driver is bound to it; {remedy}") },
    }
}

/// The file under `/dev/dri` through which programs compute on a card.
fn render_node(sysfs: &Sysfs, card: &PciDevice) -> Option<String> {
    let names = sysfs.list(&format!("{}/{}/drm", crate::pci::DEVICES, card.address));
    names.into_iter().find(|name| name.starts_with("renderD")).map(|name| format!("/dev/dri/{name}"))
}

/// Sensors of a card, by the name of the file: `temp1_input`.
fn sensor(sysfs: &Sysfs, card: &PciDevice, file: &str) -> Option<u64> {
    let folder = format!("{}/{}/hwmon", crate::pci::DEVICES, card.address);
    sysfs.list(&folder).iter().find_map(|hwmon| sysfs.number(&format!("{folder}/{hwmon}/{file}")))
}

fn watts(sysfs: &Sysfs, card: &PciDevice, files: &[&str]) -> Option<u32> {
    let microwatts = files.iter().find_map(|file| sensor(sysfs, card, file))?;
    u32::try_from(microwatts / 1_000_000).ok()
}

fn celsius(sysfs: &Sysfs, card: &PciDevice) -> Option<u32> {
    sensor(sysfs, card, "temp1_input").and_then(|milli| u32::try_from(milli / 1000).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hangs_is_left_alone_and_not_asked_again() {
        static STUCK: Stuck = Mutex::new(None);
        let long = Duration::from_secs(60);
        assert_eq!(within(&STUCK, long, || 7), Some(7));
        let (end, hangs) = std::sync::mpsc::channel::<()>();
        assert_eq!(within(&STUCK, Duration::from_millis(1), move || hangs.recv().is_ok()), None);
        assert_eq!(within(&STUCK, long, || 7), None, "the first one is still there");
        drop(end);
        while within(&STUCK, long, || 7) != Some(7) {
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_panics_gives_no_answer() {
        static STUCK: Stuck = Mutex::new(None);
        assert_eq!(within(&STUCK, Duration::from_secs(60), || -> u8 { panic!("a library that is too old") }), None);
    }
}
