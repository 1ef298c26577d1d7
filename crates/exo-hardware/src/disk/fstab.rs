//! File systems that should be mounted and are not.

use super::{Mount, mount_of, mounts, unescape};
use crate::Sysfs;
use std::path::{Path, PathBuf};

/// Where `/etc/fstab` mounts something above a path, and nothing is mounted now: what is written there would lie on the
/// wrong disk, and vanish from sight when the right one comes.
pub fn missing_mount(sysfs: &Sysfs, path: &Path) -> Option<PathBuf> {
    missing(&sysfs.read("/etc/fstab").ok()?, &mounts(sysfs), path)
}

fn missing(fstab: &str, mounts: &[Mount], path: &Path) -> Option<PathBuf> {
    let lines = fstab.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let wanted = lines.filter_map(|line| Some(PathBuf::from(unescape(line.split_whitespace().nth(1)?))));
    let above = wanted.filter(|at| at.parent().is_some() && at.is_absolute() && path.starts_with(at));
    let mut absent =
        above.filter(|at| !mounts.iter().any(|mount| mount.at == *at && !is_bound_to_itself(mounts, mount)));
    absent.next()
}

/// systemd puts a writable directory of a service (`ProtectSystem=strict`) over itself: a mount that mounts nothing.
fn is_bound_to_itself(mounts: &[Mount], mount: &Mount) -> bool {
    let others: Vec<Mount> = mounts.iter().filter(|other| other.at != mount.at).cloned().collect();
    let Some(below) = mount_of(&others, &mount.at) else { return false };
    let Ok(inside) = mount.at.strip_prefix(&below.at) else { return false };
    // Parts of one btrfs look alike.
    mount.file_system != "btrfs" && mount.device == below.device && mount.root == below.root.join(inside)
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;
    use proptest::prelude::*;

    const FSTAB: &str = "
# the data
/dev/sda1 / ext4 rw 0 1
UUID=1 /srv ext4 rw 0 2
UUID=2 /var/lib/exo xfs rw 0 2
UUID=3 none swap sw 0 0
";

    fn check(mountinfo: &str, path: &str, expect: Option<&str>) {
        assert_eq!(missing(FSTAB, &parse(mountinfo), Path::new(path)), expect.map(PathBuf::from), "{mountinfo} {path}");
    }

    #[test]
    fn a_disk_that_did_not_come_is_noticed() {
        let root = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n";
        check(root, "/var/lib/exo", Some("/var/lib/exo"));
        check(root, "/srv/models", Some("/srv"));
        check(root, "/home/ada", None);
        check(&format!("{root}30 22 8:2 / /srv rw - ext4 /dev/sdb1 rw\n"), "/srv/models", None);
        check("", "/srv/models", Some("/srv"));
    }

    #[test]
    fn what_systemd_puts_over_itself_is_no_mount() {
        let root = "22 1 8:1 / / ro - ext4 /dev/sda1 rw\n";
        let bound = format!("{root}40 22 8:1 /var/lib/exo /var/lib/exo rw - ext4 /dev/sda1 rw\n");
        check(&bound, "/var/lib/exo", Some("/var/lib/exo"));
        let mounted = format!("{root}40 22 8:2 / /var/lib/exo rw - xfs /dev/sdb1 rw\n");
        check(&mounted, "/var/lib/exo", None);
        let twice = format!("{mounted}41 40 8:2 / /var/lib/exo rw - xfs /dev/sdb1 rw\n");
        check(&twice, "/var/lib/exo", None);
        let part = format!("{root}40 22 8:1 /other /var/lib/exo rw - ext4 /dev/sda1 rw\n");
        check(&part, "/var/lib/exo", None);
    }

    proptest! {
        #[test]
        fn no_text_panics(fstab in "(\\PC|\n| |/|\\\\0){0,60}", mountinfo in "(\\PC| - |\n| /){0,60}") {
            missing(&fstab, &parse(&mountinfo), Path::new("/var/lib/exo"));
        }
    }
}
