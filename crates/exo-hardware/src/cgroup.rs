//! Memory limits of the control groups that this process lives in, of both versions.

use crate::read;

/// The tightest limit: how much may be used in all, and how much of it is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bound {
    pub(crate) limit: u64,
    pub(crate) left: u64,
}

/// Asks the system; nothing if there is no limit.
pub(crate) fn memory_bound() -> Option<Bound> {
    let told = read("/proc/self/cgroup")?;
    let groups = groups(&told);
    let bounds = groups.iter().filter_map(|group| {
        let file = |name: &str| read(format!("/sys/fs/cgroup{group}/{name}"));
        let either = |v2: &str, v1: &str| file(v2).or_else(|| file(v1));
        bound(
            &either("memory.max", "memory.limit_in_bytes")?,
            &either("memory.current", "memory.usage_in_bytes")?,
            &file("memory.stat").unwrap_or_default(),
        )
    });
    tightest(bounds)
}

fn tightest(bounds: impl Iterator<Item = Bound>) -> Option<Bound> {
    bounds.reduce(|a, b| Bound { limit: a.limit.min(b.limit), left: a.left.min(b.left) })
}

/// Directories under `/sys/fs/cgroup` of the group and of all groups around it, innermost first.
fn groups(told: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in told.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let mount = match controllers {
            "" => "",
            _ if controllers.split(',').any(|controller| controller == "memory") => "/memory",
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
fn bound(limit: &str, used: &str, stat: &str) -> Option<Bound> {
    let limit = limit.trim().parse::<u64>().ok().filter(|limit| *limit < 1 << 60)?;
    let used = used.trim().parse::<u64>().ok()?;
    let droppable = ["inactive_file", "total_inactive_file"].iter().filter_map(|key| {
        let mut lines = stat.lines().filter_map(|line| line.split_once(' '));
        lines.find(|(name, _)| name == key).and_then(|(_, value)| value.trim().parse::<u64>().ok())
    });
    let used = used.saturating_sub(droppable.max().unwrap_or(0));
    Some(Bound { limit, left: limit.saturating_sub(used) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_around_this_one_counts() {
        let check = |told: &str, expect: &[&str]| assert_eq!(groups(told), expect, "{told:?}");
        check("0::/system.slice/exo-worker.service\n", &["/system.slice/exo-worker.service", "/system.slice", ""]);
        check("4:memory:/a\n3:cpuset:/\n0::/\n", &["/memory/a", "/memory", ""]);
        check("0::/../../x\n", &[""]);
        check("nonsense\n", &[]);
    }

    #[test]
    fn a_bound_is_a_limit_less_what_cannot_be_dropped() {
        let check = |limit: &str, used: &str, stat: &str, expect: Option<(u64, u64)>| {
            assert_eq!(bound(limit, used, stat).map(|bound| (bound.limit, bound.left)), expect);
        };
        check("max\n", "5\n", "", None);
        check("9223372036854771712\n", "5\n", "", None);
        check("100\n", "60\n", "anon 30\ninactive_file 20\n", Some((100, 60)));
        check("100\n", "60\n", "inactive_file 1\ntotal_inactive_file 10\n", Some((100, 50)));
        check("100\n", "160\n", "", Some((100, 0)));
        check("100\n", "many\n", "", None);
    }

    #[test]
    fn the_tightest_bound_wins() {
        let bounds = [Bound { limit: 10, left: 9 }, Bound { limit: 20, left: 3 }];
        assert_eq!(tightest(bounds.into_iter()), Some(Bound { limit: 10, left: 3 }));
        assert_eq!(tightest(std::iter::empty()), None);
    }
}
