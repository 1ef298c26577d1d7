//! Disks, by the directories that lie on them.

mod fstab;

use crate::Sysfs;
use exo_types::Memory;
pub use fstab::missing_mount;
use nix::sys::statvfs::statvfs;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What a disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum DiskKind {
    /// Flash on PCIe.
    Nvme,
    /// Flash behind another bus, or what says that it does not turn.
    Solid,
    /// It turns.
    Rotating,
    /// On another machine.
    Network,
    /// Main memory; gone after a restart.
    Memory,
    /// Not told.
    Unknown,
}

impl DiskKind {
    /// As in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nvme => "nvme",
            Self::Solid => "solid",
            Self::Rotating => "rotating",
            Self::Network => "network",
            Self::Memory => "memory",
            Self::Unknown => "unknown",
        }
    }
}

/// The file system under a directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Disk {
    /// The directory that was asked for.
    pub directory: PathBuf,
    /// Where its file system is mounted.
    pub mount: PathBuf,
    /// `ext4`, `zfs`, `nfs4`.
    pub file_system: String,
    /// `/dev/nvme0n1p2`.
    pub source: String,
    /// What it is.
    pub kind: DiskKind,
    /// Whether nothing can be written.
    pub read_only: bool,
    /// Size of the file system.
    pub total: Option<Memory>,
    /// Of that, what this user can still write.
    pub free: Option<Memory>,
}

/// A line of `/proc/self/mountinfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// `259:2`, as `/sys/dev/block` names it.
    pub device: String,
    /// Which part of its file system.
    pub root: PathBuf,
    /// Where.
    pub at: PathBuf,
    /// Whether nothing can be written.
    pub read_only: bool,
    /// `ext4`.
    pub file_system: String,
    /// `/dev/nvme0n1p2`.
    pub source: String,
}

impl Disk {
    /// Looks below which mount a directory lies, which need not be there yet.
    pub fn of(sysfs: &Sysfs, directory: &Path) -> Option<Self> {
        let mounts = mounts(sysfs);
        let mount = mount_of(&mounts, directory)?;
        // The directory itself may be missing: its file system is that of the next one above it.
        let there = directory.ancestors().find(|path| path.exists()).unwrap_or(directory);
        let space = sysfs.is_host().then(|| statvfs(there).ok()).flatten();
        let bytes = |blocks: u64, size: u64| Memory::bytes(blocks.saturating_mul(size));
        Some(Self {
            directory: directory.to_owned(),
            kind: kind(sysfs, mount),
            mount: mount.at.clone(),
            file_system: mount.file_system.clone(),
            source: mount.source.clone(),
            read_only: mount.read_only,
            total: space.map(|space| bytes(space.blocks(), space.fragment_size())),
            free: space.map(|space| bytes(space.blocks_available(), space.fragment_size())),
        })
    }
}

/// What is mounted, in the order in which it was.
pub fn mounts(sysfs: &Sysfs) -> Vec<Mount> {
    parse(&sysfs.read("/proc/self/mountinfo").unwrap_or_default())
}

/// The mount below which a path lies: the longest, and of two at the same place the later.
pub fn mount_of<'a>(mounts: &'a [Mount], path: &Path) -> Option<&'a Mount> {
    let around = mounts.iter().filter(|mount| path.starts_with(&mount.at));
    around.max_by_key(|mount| mount.at.components().count())
}

fn parse(mountinfo: &str) -> Vec<Mount> {
    mountinfo.lines().filter_map(parse_line).collect()
}

/// `36 35 98:0 /root /at rw,noatime master:1 - ext4 /dev/sda1 rw`.
fn parse_line(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let mut fields = before.split(' ').skip(2);
    let device = fields.next()?.to_owned();
    let (root, at) = (unescape(fields.next()?), unescape(fields.next()?));
    let options = fields.next()?;
    let mut fields = after.split(' ');
    let (file_system, source) = (fields.next()?.to_owned(), unescape(fields.next()?));
    let of_disk = fields.next().unwrap_or_default();
    let read_only = [options, of_disk].iter().any(|options| options.split(',').any(|option| option == "ro"));
    Some(Mount { device, root: root.into(), at: at.into(), read_only, file_system, source })
}

/// `\040` is a space: the fields are separated by them.
fn unescape(text: &str) -> String {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|_| *first == b'\\').and_then(|digits| str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                plain.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                plain.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

const NETWORK: [&str; 10] = ["nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "glusterfs", "fuse.sshfs", "afs", "lustre"];

fn kind(sysfs: &Sysfs, mount: &Mount) -> DiskKind {
    if NETWORK.contains(&mount.file_system.as_str()) {
        return DiskKind::Network;
    }
    if ["tmpfs", "ramfs"].contains(&mount.file_system.as_str()) {
        return DiskKind::Memory;
    }
    if mount.source.starts_with("/dev/nvme") {
        return DiskKind::Nvme;
    }
    // File systems over several disks (btrfs, zfs) have no device of their own; then nothing is told. A partition's
    // disk stands above it.
    let block = format!("/sys/dev/block/{}", mount.device);
    let turns = ["queue", "../queue"].iter().find_map(|at| sysfs.number::<u8>(&format!("{block}/{at}/rotational")));
    match turns {
        Some(0) => DiskKind::Solid,
        Some(_) => DiskKind::Rotating,
        None => DiskKind::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MOUNTINFO: &str = "\
22 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw
30 22 8:1 / /srv/my\\040models rw - xfs /dev/sda1 ro
31 22 0:44 / /srv ro,noatime - nfs4 nas:/srv rw
nonsense
";

    #[test]
    fn a_path_lies_below_the_longest_mount() {
        let mounts = parse(MOUNTINFO);
        let check = |path: &str, at: &str, source: &str, read_only: bool| {
            let mount = mount_of(&mounts, Path::new(path)).expect("there is a root");
            let found = (mount.at.to_str(), mount.source.as_str(), mount.read_only);
            assert_eq!(found, (Some(at), source, read_only), "{path}");
        };
        check("/var/lib/exo", "/", "/dev/nvme0n1p2", false);
        check("/srv/my models/x", "/srv/my models", "/dev/sda1", true);
        check("/srv/models", "/srv", "nas:/srv", true);
        check("/srvx", "/", "/dev/nvme0n1p2", false);
        assert_eq!(mount_of(&[], Path::new("/")), None);
    }

    #[test]
    fn this_machine_has_a_disk_under_its_root() {
        let disk = Disk::of(&Sysfs::host(), Path::new("/no/such/directory")).expect("a root");
        assert!(disk.total.is_some_and(|total| total.in_bytes > 0));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(\\PC| - |\n|\\\\[0-9]{1,3}){0,60}") {
            parse(&text);
            unescape(&text);
        }
    }
}
