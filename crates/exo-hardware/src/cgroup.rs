//! Limits of the control groups that this process lives in, of both versions.

use crate::Sysfs;
use exo_types::Memory;
use serde::Serialize;

/// What the groups around this process leave to it. The tightest limit counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Memory, and how much of that is left.
    pub memory: Option<MemoryLimit>,
    /// Processors' worth of time.
    pub processors: Option<f64>,
}

/// The tightest limit: how much may be used in all, and how much of it is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MemoryLimit {
    /// In all.
    pub limit: Memory,
    /// Of that, what is left.
    pub left: Memory,
}

impl Limits {
    /// Asks the kernel; nothing where there is no limit.
    pub fn read(sysfs: &Sysfs) -> Self {
        let told = sysfs.read("/proc/self/cgroup").unwrap_or_default();
        let memory = groups(&told, "memory").into_iter().filter_map(|group| memory_of(sysfs, &group));
        let processors = groups(&told, "cpu").into_iter().filter_map(|group| processors_of(sysfs, &group));
        Self { memory: tightest(memory), processors: processors.reduce(f64::min) }
    }
}

fn memory_of(sysfs: &Sysfs, group: &str) -> Option<MemoryLimit> {
    let file = |name: &str| sysfs.read(&format!("/sys/fs/cgroup{group}/{name}")).ok();
    let either = |v2: &str, v1: &str| file(v2).or_else(|| file(v1));
    memory_limit(
        &either("memory.max", "memory.limit_in_bytes")?,
        &either("memory.current", "memory.usage_in_bytes")?,
        &file("memory.stat").unwrap_or_default(),
    )
}

fn processors_of(sysfs: &Sysfs, group: &str) -> Option<f64> {
    let file = |name: &str| sysfs.read(&format!("/sys/fs/cgroup{group}/{name}")).ok();
    let v1 = || Some(format!("{} {}", file("cpu.cfs_quota_us")?.trim(), file("cpu.cfs_period_us")?.trim()));
    quota(&file("cpu.max").or_else(v1)?)
}

fn tightest(limits: impl Iterator<Item = MemoryLimit>) -> Option<MemoryLimit> {
    limits.reduce(|a, b| MemoryLimit { limit: a.limit.min(b.limit), left: a.left.min(b.left) })
}

/// Directories under `/sys/fs/cgroup` of the group and of all groups around it, innermost first.
fn groups(told: &str, controller: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in told.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let mount = match controllers {
            "" => String::new(),
            _ if controllers.split(',').any(|named| named == controller) => format!("/{controller}"),
            _ => continue,
        };
        let mut path = path.trim_end_matches('/');
        // In a namespace the own group may lie above the root: what is seen is the root then.
        if path.contains("/..") {
            path = "";
        }
        found.push(format!("{mount}{path}"));
        while let Some((parent, _)) = path.rsplit_once('/') {
            path = parent;
            found.push(format!("{mount}{path}"));
        }
    }
    found
}

/// Pages of files that the kernel can drop count as free, as in `MemAvailable`.
fn memory_limit(limit: &str, used: &str, stat: &str) -> Option<MemoryLimit> {
    let limit = limit.trim().parse::<u64>().ok().filter(|limit| *limit < 1 << 60)?;
    let used = used.trim().parse::<u64>().ok()?;
    let droppable = ["inactive_file", "total_inactive_file"].iter().filter_map(|key| {
        let mut lines = stat.lines().filter_map(|line| line.split_once(' '));
        lines.find(|(name, _)| name == key).and_then(|(_, value)| value.trim().parse::<u64>().ok())
    });
    let used = used.saturating_sub(droppable.max().unwrap_or(0));
    Some(MemoryLimit { limit: Memory::bytes(limit), left: Memory::bytes(limit.saturating_sub(used)) })
}

/// `200000 100000`: two processors; `max` or a negative quota: no limit.
fn quota(text: &str) -> Option<f64> {
    let (quota, period) = text.trim().split_once(' ')?;
    let (quota, period) = (quota.parse::<u64>().ok()?, period.parse::<u64>().ok()?);
    (quota > 0 && period > 0).then(|| quota as f64 / period as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_group_around_this_one_counts() {
        let check = |told: &str, expect: &[&str]| assert_eq!(groups(told, "memory"), expect, "{told:?}");
        check("0::/system.slice/exo-worker.service\n", &["/system.slice/exo-worker.service", "/system.slice", ""]);
        check("4:memory:/a\n3:cpuset:/\n0::/\n", &["/memory/a", "/memory", ""]);
        check("0::/../../x\n", &[""]);
        check("nonsense\n", &[]);
    }

    #[test]
    fn a_limit_is_what_may_be_used_less_what_cannot_be_dropped() {
        let check = |limit: &str, used: &str, stat: &str, expect: Option<(u64, u64)>| {
            let found = memory_limit(limit, used, stat).map(|found| (found.limit.in_bytes, found.left.in_bytes));
            assert_eq!(found, expect);
        };
        check("max\n", "5\n", "", None);
        check("9223372036854771712\n", "5\n", "", None);
        check("100\n", "60\n", "anon 30\ninactive_file 20\n", Some((100, 60)));
        check("100\n", "60\n", "inactive_file 1\ntotal_inactive_file 10\n", Some((100, 50)));
        check("100\n", "160\n", "", Some((100, 0)));
        check("100\n", "many\n", "", None);
    }

    #[test]
    fn the_tightest_limit_wins() {
        let limit = |limit, left| MemoryLimit { limit: Memory::bytes(limit), left: Memory::bytes(left) };
        assert_eq!(tightest([limit(10, 9), limit(20, 3)].into_iter()), Some(limit(10, 3)));
        assert_eq!(tightest(std::iter::empty()), None);
    }

    #[test]
    fn a_quota_is_a_number_of_processors() {
        for (text, expect) in [
            ("200000 100000\n", Some(2.0)),
            ("50000 100000", Some(0.5)),
            ("max 100000\n", None),
            ("-1 100000", None),
            ("1 0", None),
            ("", None),
        ] {
            assert_eq!(quota(text), expect, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(a in "(\\PC|\n|:|/){0,60}", b in "\\PC{0,40}", c in "(\\PC|\n){0,60}") {
            groups(&a, "cpu");
            memory_limit(&b, &c, &a);
            quota(&b);
        }
    }
}
