//! The Debian under every machine: made once, kept in the target folder.

use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const SUITE: &str = "trixie";
const PACKAGES: &str = "systemd,systemd-sysv,dbus,polkitd,curl,iproute2,nftables,procps,python3-minimal";

/// The unpacked system; its name changes with what it is made of.
pub fn base_system(folder: &Path) -> Result<PathBuf> {
    let name = format!("debian-{SUITE}-{:08x}", checksum(PACKAGES));
    let (base, unfinished) = (folder.join(&name), folder.join(format!("{name}.unfinished")));
    if base.exists() {
        return Ok(base);
    }
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).context("what an interrupted run left")?;
    }
    println!("making   Debian {SUITE} (once, a minute or two)");
    let include = format!("--include={PACKAGES}");
    run(Command::new("mmdebstrap").args(["--quiet", "--variant=minbase", &include, SUITE]).arg(&unfinished))?;
    // What the first boot would do, once for all machines: a boot takes a second instead of seven.
    run(Command::new("chroot").arg(&unfinished).arg("ldconfig"))?;
    run(Command::new("chroot").arg(&unfinished).args(["journalctl", "--update-catalog"]))?;
    for mark in ["etc/.updated", "var/.updated"] {
        fs::write(unfinished.join(mark), "").with_context(|| mark.to_owned())?;
    }
    fs::rename(&unfinished, &base).context("the finished base system")?;
    Ok(base)
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
