//! The Debian under every machine: made once, kept in the target folder.

use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const SUITE: &str = "trixie";
const PACKAGES: &str = "systemd,systemd-sysv,dbus,polkitd,curl,iproute2,nftables,procps,python3-minimal";
/// A kernel, and what tests do with it that containers cannot.
const KERNEL: &str = "udev,kmod,linux-image-amd64,initramfs-tools,zstd,rdma-core,ibverbs-utils,ibverbs-providers";
/// Of the repository: how the kernel's initramfs finds the root of a virtual machine.
const INITRAMFS: &str = "nixos-tests/lib/initramfs";

/// What a machine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Of systemd-nspawn, with the kernel of this machine.
    Container,
    /// Of QEMU, with Debian's kernel.
    Virtual,
}

impl Kind {
    fn packages(self) -> String {
        match self {
            Kind::Container => PACKAGES.to_owned(),
            Kind::Virtual => format!("{PACKAGES},{KERNEL}"),
        }
    }
}

/// The unpacked system; its name changes with what it is made of.
pub fn base_system(kind: Kind, repository: &Path, folder: &Path) -> Result<PathBuf> {
    let initramfs = repository.join(INITRAMFS);
    let name = format!("debian-{SUITE}-{:08x}", checksum(&parts(kind, &initramfs)?));
    let (base, unfinished) = (folder.join(&name), folder.join(format!("{name}.unfinished")));
    if base.exists() {
        return Ok(base);
    }
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).context("what an interrupted run left")?;
    }
    println!("making   Debian {SUITE} (once, a minute or two)");
    make(kind, &initramfs, &unfinished)?;
    fs::rename(&unfinished, &base).context("the finished base system")?;
    Ok(base)
}

/// Everything that makes one base system another.
fn parts(kind: Kind, initramfs: &Path) -> Result<String> {
    let mut parts = kind.packages();
    if kind == Kind::Virtual {
        for file in ["conf.d/exo-test", "hooks/exo-test", "scripts/exo-test"] {
            let path = initramfs.join(file);
            parts += &fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        }
    }
    Ok(parts)
}

fn make(kind: Kind, initramfs: &Path, base: &Path) -> Result<()> {
    let mut make = Command::new("mmdebstrap");
    make.args(["--quiet", "--variant=minbase", &format!("--include={}", kind.packages())]);
    if kind == Kind::Virtual {
        // Before the kernel is unpacked, which makes its initramfs.
        make.arg("--essential-hook=mkdir -p \"$1/etc/initramfs-tools\"");
        make.arg(format!("--essential-hook=cp -r '{}/.' \"$1/etc/initramfs-tools\"", initramfs.display()));
    }
    run(make.arg(SUITE).arg(base))?;
    // What the first boot would do, once for all machines: a boot takes a second instead of seven.
    run(Command::new("chroot").arg(base).arg("ldconfig"))?;
    run(Command::new("chroot").arg(base).args(["journalctl", "--update-catalog"]))?;
    for mark in ["etc/.updated", "var/.updated"] {
        fs::write(base.join(mark), "").with_context(|| mark.to_owned())?;
    }
    Ok(())
}

pub(super) fn run(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{:?}", command.get_program()))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{:?} ended with {}: {}", command.get_program(), output.status, errors.trim());
    Ok(())
}

/// FNV-1a: a name for a list, nothing more.
fn checksum(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
