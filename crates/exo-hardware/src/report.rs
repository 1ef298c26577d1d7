//! Everything at once.

use crate::bandwidth::memory_bandwidth;
use crate::os::{host_name_of, kernel_of, machine_of, os_name_of};
use crate::{
    Disk, Gpu, GpuQuestions, Interface, Limits, MainMemory, Nic, Power, Pressure, Processors, RdmaDevice, Sysfs,
    ThunderboltDevice, gpus, interfaces, nics, rdma_devices, thunderbolt_devices,
};
use serde::Serialize;
use std::path::PathBuf;

#[cfg(test)]
mod tests;

/// What is looked at beyond what the kernel has at hand.
#[derive(Debug, Clone, Default)]
pub struct Questions {
    /// Directories whose disks are told.
    pub directories: Vec<PathBuf>,
    /// Measure: memory (a fifth of a second, on all cores), power (a tenth), and a kernel on every NVIDIA card.
    pub measure: bool,
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Hardware {
    /// Its name in the network.
    pub host_name: String,
    /// As its maker calls it.
    pub machine: Option<String>,
    /// Its operating system.
    pub os: String,
    /// Version of the kernel.
    pub kernel: String,
    /// Its processors.
    pub cpu: Processors,
    /// Its main memory.
    pub memory: MainMemory,
    /// Bytes in a second that all cores together read from main memory; only if it was measured.
    pub memory_bandwidth: Option<u64>,
    /// What control groups leave to this process.
    pub limits: Limits,
    /// How long tasks wait.
    pub pressure: Pressure,
    /// Disks under the directories that were asked for.
    pub disks: Vec<Disk>,
    /// Network interfaces.
    pub nics: Vec<Nic>,
    /// RDMA devices.
    pub rdma: Vec<RdmaDevice>,
    /// Graphics and compute cards.
    pub gpus: Vec<Gpu>,
    /// What hangs on Thunderbolt cables.
    pub thunderbolt: Vec<ThunderboltDevice>,
    /// Batteries, mains, energy.
    pub power: Power,
}

impl Hardware {
    /// Looks at this machine. Blocks: for milliseconds, seconds where a driver has to be woken or something is measured.
    pub fn of_host(questions: &Questions) -> Self {
        Self::read(&Sysfs::host(), &interfaces(), questions)
    }

    /// Looks at a tree; `interfaces` says which addresses there are.
    pub fn read(sysfs: &Sysfs, interfaces: &[Interface], questions: &Questions) -> Self {
        let cpu = Processors::read(sysfs);
        let memory = MainMemory::read(sysfs);
        let measure = questions.measure && sysfs.is_host();
        let limits = Limits::read(sysfs);
        let available = limits.memory.map_or(memory.available, |limit| limit.left.min(memory.available));
        Self {
            host_name: host_name_of(sysfs),
            machine: machine_of(sysfs),
            os: os_name_of(sysfs),
            kernel: kernel_of(sysfs),
            memory,
            memory_bandwidth: measure.then(|| memory_bandwidth(&cpu, available)).flatten(),
            cpu,
            limits,
            pressure: Pressure::read(sysfs),
            disks: questions.directories.iter().filter_map(|directory| Disk::of(sysfs, directory)).collect(),
            nics: nics(sysfs, interfaces),
            rdma: rdma_devices(sysfs),
            gpus: gpus(sysfs, GpuQuestions { self_test: questions.measure }),
            thunderbolt: thunderbolt_devices(sysfs),
            power: Power::read(sysfs, measure),
        }
    }

    /// What a runner can compute on, the best first: `cuda`, `rocm`, `mlx`, `cpu`.
    pub fn accelerators(&self) -> Vec<&'static str> {
        let ready = self.gpus.iter().filter(|gpu| gpu.availability.is_ready());
        let mut found: Vec<_> = ready.filter_map(|gpu| Some((gpu.vendor, gpu.vendor.runtime()?))).collect();
        found.sort();
        found.dedup();
        found.into_iter().map(|(_, runtime)| runtime).chain(["cpu"]).collect()
    }

    /// Device files that a worker needs for what can be used here.
    pub fn device_nodes(&self) -> Vec<String> {
        let ready = self.gpus.iter().filter(|gpu| gpu.availability.is_ready());
        let mut nodes: Vec<String> = ready.flat_map(|gpu| gpu.device_nodes.iter().cloned()).collect();
        nodes.sort();
        nodes.dedup();
        nodes
    }
}
