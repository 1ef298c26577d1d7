//! Processors.

mod cache;
mod numa;

use crate::os::plain;
use crate::{Limits, Sysfs};
pub use cache::Cache;
pub use numa::NumaNode;
use serde::Serialize;
use std::collections::BTreeSet;
use std::num::NonZero;
use std::thread::available_parallelism;

/// What the kernel tells of the processors, and how much of them this process may use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Processors {
    /// Name that the processor gives itself.
    pub model: String,
    /// Cores without hyper-threads.
    pub physical: u32,
    /// Cores with hyper-threads.
    pub logical: u32,
    /// Cores that affinity and cgroup leave to this process.
    pub usable: u32,
    /// Chips.
    pub sockets: u32,
    /// Instructions that the kernels of exo, or of others, can gain from.
    pub features: Vec<String>,
    /// Caches, the smallest level first.
    pub caches: Vec<Cache>,
    /// Parts with memory of their own.
    pub numa_nodes: Vec<NumaNode>,
    /// Highest frequency.
    pub max_mhz: Option<u64>,
    /// Who decides about the frequency: `performance`, `powersave`, `schedutil`.
    pub governor: Option<String>,
}

impl Processors {
    /// Asks the kernel.
    pub fn read(sysfs: &Sysfs) -> Self {
        let told = parse(&sysfs.read("/proc/cpuinfo").unwrap_or_default());
        let limit = Limits::read(sysfs).processors.map_or(u32::MAX, |limit| (limit.ceil() as u32).max(1));
        let parallel = || u32::try_from(available_parallelism().map_or(1, NonZero::get)).unwrap_or(u32::MAX);
        let usable = if sysfs.is_host() { parallel() } else { told.logical }.min(limit);
        let frequency = "/sys/devices/system/cpu/cpu0/cpufreq";
        Self {
            logical: told.logical.max(usable),
            physical: if told.physical == 0 { usable } else { told.physical },
            usable,
            caches: cache::read(sysfs),
            numa_nodes: numa::read(sysfs),
            max_mhz: sysfs.number::<u64>(&format!("{frequency}/cpuinfo_max_freq")).map(|khz| khz / 1000),
            governor: sysfs.text(&format!("{frequency}/scaling_governor")),
            ..told
        }
    }

    /// Threads that compute best: one for each physical core that may be used, at least one.
    pub fn threads(&self) -> u32 {
        self.physical.min(self.usable).max(1)
    }

    /// Whether a core shows itself several times.
    pub fn has_hyper_threads(&self) -> bool {
        self.logical > self.physical
    }

    /// Bytes of the last level of caches, all of them together.
    pub(crate) fn last_level_cache(&self) -> u64 {
        self.caches.last().map_or(0, |cache| cache.size.in_bytes.saturating_mul(u64::from(cache.count)))
    }
}

/// Asks the system.
pub fn processors() -> Processors {
    Processors::read(&Sysfs::host())
}

fn parse(cpuinfo: &str) -> Processors {
    let mut told = Processors::default();
    let (mut cores, mut sockets) = (BTreeSet::new(), BTreeSet::new());
    for block in cpuinfo.split("\n\n") {
        let value = |wanted: &str| {
            let mut lines = block.lines().filter_map(|line| line.split_once(':'));
            lines.find(|(key, _)| key.trim() == wanted).map(|(_, value)| value.trim())
        };
        if let Some(processor) = value("processor") {
            told.logical += 1;
            // Machines that tell no topology (many ARM boards) have no hyper-threads.
            let core = value("core id").unwrap_or(processor);
            let socket = value("physical id").unwrap_or_default().to_owned();
            cores.insert((socket.clone(), core.to_owned()));
            sockets.insert(socket);
        }
        if told.model.is_empty() {
            let name = value("model name").or_else(|| value("Hardware")).or_else(|| value("Model"));
            told.model = name.map(plain).unwrap_or_default();
        }
        if told.features.is_empty() {
            let flags = value("flags").or_else(|| value("Features")).unwrap_or_default();
            told.features = flags.split_whitespace().filter(|flag| is_told(flag)).map(str::to_owned).collect();
        }
    }
    told.physical = u32::try_from(cores.len()).unwrap_or(u32::MAX);
    told.sockets = u32::try_from(sockets.len()).unwrap_or(u32::MAX);
    told
}

/// Of a hundred flags those about vectors and matrices.
fn is_told(flag: &str) -> bool {
    const X86: [&str; 5] = ["fma", "f16c", "vaes", "gfni", "ssse3"];
    const ARM: [&str; 5] = ["i8mm", "bf16", "neon", "fphp", "asimd"];
    X86.contains(&flag)
        || ARM.contains(&flag)
        || ["avx", "amx", "asimd", "sve", "sme", "sse4"].iter().any(|prefix| flag.starts_with(prefix))
}

/// How many processors a list such as `0-7,16-23` names.
fn count(list: &str) -> u32 {
    let part = |part: &str| -> Option<u32> {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.trim().parse::<u32>().ok()?, last.trim().parse::<u32>().ok()?);
        last.checked_sub(first)?.checked_add(1)
    };
    list.split(',').filter_map(part).fold(0, u32::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hyper_threads_are_told_from_cores() {
        let check = |text: &str, model: &str, physical: u32, logical: u32| {
            let told = parse(text);
            assert_eq!((told.model.as_str(), told.physical, told.logical), (model, physical, logical), "{text:?}");
        };
        let thread = |n: u32, package: u32, core: u32| {
            format!(
                "processor\t: {n}\nmodel name\t: Some CPU @ 3.0GHz\nphysical id\t: {package}\ncore id\t\t: {core}\n\n"
            )
        };
        check(&(thread(0, 0, 0) + &thread(1, 0, 0) + &thread(2, 0, 1)), "Some CPU @ 3.0GHz", 2, 3);
        check(&(thread(0, 0, 0) + &thread(1, 1, 0)), "Some CPU @ 3.0GHz", 2, 2);
        check("processor\t: 0\n\nprocessor\t: 1\n\nHardware\t: Board\n", "Board", 2, 2);
        check("", "", 0, 0);
    }

    #[test]
    fn features_are_those_of_vectors_and_matrices() {
        let told = parse("processor: 0\nflags: fpu vme avx2 fma avx512f amx_int8 hypervisor\n");
        assert_eq!(told.features, ["avx2", "fma", "avx512f", "amx_int8"]);
        let told = parse("processor: 0\nFeatures: fp asimd crc32 asimddp i8mm\n");
        assert_eq!(told.features, ["asimd", "asimddp", "i8mm"]);
    }

    #[test]
    fn lists_of_processors_are_counted() {
        for (list, expect) in [("0-7,16-23", 16), ("3", 1), ("", 0), ("7-0", 0), ("0-4294967295,1", 1), ("a-b,2", 1)] {
            assert_eq!(count(list), expect, "{list:?}");
        }
    }

    #[test]
    fn there_is_always_a_thread() {
        assert_eq!(Processors::default().threads(), 1);
        assert_eq!(Processors { physical: 8, usable: 2, ..Processors::default() }.threads(), 2);
        assert!(processors().usable >= 1);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(\\PC|\n|:|flags|processor){0,80}", list in "[0-9,-]{0,40}") {
            parse(&text);
            count(&list);
        }
    }
}
