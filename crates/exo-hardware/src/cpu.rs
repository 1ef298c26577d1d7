//! Processors.

use crate::read;
use std::collections::BTreeSet;
use std::num::NonZero;
use std::thread::available_parallelism;

/// What `/proc/cpuinfo` tells, and how much of it this process may use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Processors {
    /// Name that the processor gives itself.
    pub model: String,
    /// Cores without hyper-threads.
    pub physical: u32,
    /// Cores with hyper-threads.
    pub logical: u32,
    /// Cores that affinity and cgroup leave to this process.
    pub usable: u32,
}

impl Processors {
    /// Threads that compute best: one for each physical core that may be used, at least one.
    pub fn threads(&self) -> u32 {
        self.physical.min(self.usable).max(1)
    }
}

/// Asks the system.
pub fn processors() -> Processors {
    let told = read("/proc/cpuinfo").map_or_else(Processors::default, |text| parse(&text));
    let usable = available_parallelism().map_or(1, NonZero::get);
    let usable = u32::try_from(usable).unwrap_or(u32::MAX);
    let logical = told.logical.max(usable);
    let physical = if told.physical == 0 { usable } else { told.physical };
    Processors { logical, physical, usable, ..told }
}

fn parse(cpuinfo: &str) -> Processors {
    let mut told = Processors::default();
    let mut cores = BTreeSet::new();
    for block in cpuinfo.split("\n\n") {
        let value = |wanted: &str| {
            let mut lines = block.lines().filter_map(|line| line.split_once(':'));
            lines.find(|(key, _)| key.trim() == wanted).map(|(_, value)| value.trim())
        };
        if let Some(processor) = value("processor") {
            told.logical += 1;
            // Machines that tell no topology (many ARM boards) have no hyper-threads.
            let core = value("core id").unwrap_or(processor);
            cores.insert((value("physical id").unwrap_or_default().to_owned(), core.to_owned()));
        }
        if told.model.is_empty() {
            let name = value("model name").or_else(|| value("Hardware")).or_else(|| value("Model"));
            told.model = name.unwrap_or_default().to_owned();
        }
    }
    told.physical = u32::try_from(cores.len()).unwrap_or(u32::MAX);
    told
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
    fn there_is_always_a_thread() {
        assert_eq!(Processors::default().threads(), 1);
        assert_eq!(Processors { physical: 8, usable: 2, ..Processors::default() }.threads(), 2);
        assert!(processors().usable >= 1);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(\\PC|\n|:){0,80}") {
            parse(&text);
        }
    }
}
