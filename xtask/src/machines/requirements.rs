//! What a machine has to have to boot containers.

use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};
use thiserror::Error;

/// Why containers cannot be booted here.
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
}

const PROGRAMS: [(&str, &str); 6] = [
    ("mmdebstrap", "mmdebstrap"),
    ("systemd-nspawn", "systemd-container"),
    ("nsenter", "util-linux"),
    ("ip", "iproute2"),
    ("chroot", "coreutils"),
    ("python3", "python3"),
];

/// The first thing that is missing.
pub fn check() -> Result<(), Missing> {
    if !std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0) {
        return Err(Missing::Root);
    }
    for (program, package) in PROGRAMS {
        if !works("sh", &["-c", &format!("command -v {program}")]) {
            return Err(Missing::Program { program, package });
        }
    }
    if !works("python3", &["-c", "import tomllib"]) {
        return Err(Missing::Python);
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
