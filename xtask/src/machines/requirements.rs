//! What a machine has to have to boot others.

use super::base_system::Kind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use thiserror::Error;

/// Why machines cannot be booted here.
#[derive(Debug, Error)]
pub enum Missing {
    /// Namespaces, mounts and cgroups are root's.
    #[error("it needs root; run it with sudo")]
    Root,
    /// A program.
    #[error("{program} is missing; apt-get install {package}")]
    Program {
        /// Which.
        program: &'static str,
        /// Where it comes from on Debian.
        package: &'static str,
    },
    /// The descriptions of machines are TOML, which Python reads since 3.11.
    #[error("python3 is older than 3.11; install a newer one")]
    Python,
    /// Machines share their base system by overlays.
    #[error("the kernel knows no overlayfs; load it with `modprobe overlay`")]
    Overlay,
    /// The cables of virtual machines.
    #[error("the kernel has no tap interfaces (/dev/net/tun); load them with `modprobe tun`")]
    Tap,
}

const PROGRAMS: [(&str, &str); 4] =
    [("mmdebstrap", "mmdebstrap"), ("ip", "iproute2"), ("chroot", "coreutils"), ("python3", "python3")];
const OF_CONTAINERS: [(&str, &str); 2] = [("systemd-nspawn", "systemd-container"), ("nsenter", "util-linux")];
const OF_VIRTUAL_MACHINES: [(&str, &str); 2] = [("qemu-system-x86_64", "qemu-system-x86"), ("mkfs.ext4", "e2fsprogs")];

/// The first thing that is missing.
pub fn check(kind: Kind) -> Result<(), Missing> {
    if !std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0) {
        return Err(Missing::Root);
    }
    let own = match kind {
        Kind::Container => OF_CONTAINERS,
        Kind::Virtual => OF_VIRTUAL_MACHINES,
    };
    for (program, package) in PROGRAMS.into_iter().chain(own) {
        if !works("sh", &["-c", &format!("command -v {program}")]) {
            return Err(Missing::Program { program, package });
        }
    }
    if !works("python3", &["-c", "import tomllib"]) {
        return Err(Missing::Python);
    }
    if kind == Kind::Virtual && !Path::new("/dev/net/tun").exists() {
        return Err(Missing::Tap);
    }
    let filesystems = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let has_overlay = filesystems.lines().any(|line| line.ends_with("overlay")) || works("modprobe", &["overlay"]);
    if has_overlay { Ok(()) } else { Err(Missing::Overlay) }
}

fn works(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
