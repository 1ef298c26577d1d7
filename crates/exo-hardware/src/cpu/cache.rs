//! Caches.

use crate::Sysfs;
use exo_types::Memory;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// All caches of a level and kind that are of the same size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cache {
    /// 1 is the nearest to a core.
    pub level: u32,
    /// `Data`, `Instruction`, `Unified`.
    pub kind: String,
    /// Of each.
    pub size: Memory,
    /// How many there are.
    pub count: u32,
}

/// Asks the kernel, which tells of each cache once for every core that shares it.
pub(super) fn read(sysfs: &Sysfs) -> Vec<Cache> {
    let cpus = "/sys/devices/system/cpu";
    let mut found: BTreeMap<(u32, String, u64), BTreeSet<String>> = BTreeMap::new();
    let is_cpu = |name: &String| {
        name.strip_prefix("cpu").is_some_and(|id| !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()))
    };
    for cpu in sysfs.list(cpus).into_iter().filter(is_cpu) {
        for index in sysfs.list(&format!("{cpus}/{cpu}/cache")) {
            let file = |name: &str| sysfs.text(&format!("{cpus}/{cpu}/cache/{index}/{name}"));
            let (Some(level), Some(kind)) = (file("level").and_then(|level| level.parse().ok()), file("type")) else {
                continue;
            };
            let size = file("size").as_deref().and_then(size).unwrap_or(0);
            let shared = file("shared_cpu_list").unwrap_or_else(|| cpu.clone());
            found.entry((level, kind, size)).or_default().insert(shared);
        }
    }
    let cache = |((level, kind, size), sharers): ((u32, String, u64), BTreeSet<String>)| Cache {
        level,
        kind,
        size: Memory::bytes(size),
        count: u32::try_from(sharers.len()).unwrap_or(u32::MAX),
    };
    found.into_iter().map(cache).collect()
}

/// `32K`, `8192K`, `32M`.
fn size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text.get(digits.len()..)? {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_have_units() {
        for (text, expect) in [
            ("32K", Some(32 << 10)),
            ("8M", Some(8 << 20)),
            ("7", Some(7)),
            ("7X", None),
            ("", None),
            ("18446744073709551615K", None),
        ] {
            assert_eq!(size(text), expect, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,20}") {
            size(&text);
        }
    }
}
