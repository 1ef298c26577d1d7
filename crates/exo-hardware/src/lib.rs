//! Io. What this machine has: processors, memory, accelerators, links, disks, power.
//! Knows nothing of models, of kernels or of what is done with the numbers.
//!
//! Everything is read from where Linux tells it, below a root ([`Sysfs`]): the machine's own, or a recorded tree in the
//! tests. A file that is missing (a container, another kernel) leaves its value empty; a driver or a permission that is
//! missing is an [`Availability`]. Neither is an error.
//!
//! - [`Hardware`]: everything at once.
//! - [`node_hardware`]: the part of it that the cluster is told, because placement goes by it.
//! - [`resources`], [`processors`], [`addresses`]: single questions, asked often.
//!
//! NVIDIA's libraries are named only here (`gpu/nvml.rs`, `gpu/cuda.rs`). They are loaded when something is asked of
//! them, so that the program starts without them.

mod addresses;
mod availability;
mod bandwidth;
mod cgroup;
mod clock;
mod cpu;
mod disk;
mod facts;
mod gpu;
mod memory;
mod nic;
mod os;
mod pci;
mod power;
mod pressure;
mod rdma;
mod report;
mod sysfs;
mod thunderbolt;

pub use addresses::{Interface, addresses, interfaces, rank};
pub use availability::Availability;
pub use bandwidth::memory_bandwidth;
pub use cgroup::{Limits, MemoryLimit};
pub use clock::{ClockState, clock_state};
pub use cpu::{Cache, NumaNode, Processors, processors};
pub use disk::{Disk, DiskKind, Mount, missing_mount, mount_of, mounts};
pub use facts::node_hardware;
pub use gpu::{Gpu, GpuQuestions, GpuVendor, NvLink, gpus};
pub use memory::{MainMemory, resources};
pub use nic::{Bond, Leg, Nic, NicKind, nics};
pub use os::{host_name, os_name};
pub use pci::PcieLink;
pub use power::{Battery, Power, Rapl, Zone};
pub use pressure::{Pressure, Stall};
pub use rdma::{Gid, RdmaDevice, RdmaPort, rdma_devices};
pub use report::{Hardware, Questions};
pub use sysfs::Sysfs;
pub use thunderbolt::{ThunderboltDevice, thunderbolt_devices};
