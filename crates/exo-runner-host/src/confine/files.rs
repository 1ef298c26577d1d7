//! Files and ports, by Landlock: what is not named here cannot be opened, whatever its permissions say.

use super::{Confinement, NetworkUse};
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, NetPort, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr,
    RulesetError, Scope, path_beneath_rules,
};
use nix::libc;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// The newest rules that are asked for; an older kernel keeps those that it knows.
const NEWEST: ABI = ABI::V6;
/// Read by every program: libraries, what drivers keep beside them, and what tells about the machine.
const READ: [&str; 12] = [
    "/usr/lib",
    "/usr/lib64",
    "/usr/share",
    "/usr/local",
    "/lib",
    "/lib64",
    "/nix/store",
    "/run/opengl-driver",
    "/etc/ld.so.cache",
    "/proc",
    "/sys",
    "/opt",
];
/// Where the loader of programs lies.
const LOADERS: [&str; 5] = ["/usr/lib", "/usr/lib64", "/lib", "/lib64", "/nix/store"];
/// Accelerators and what belongs to any program.
const DEVICES: [&str; 5] = ["/dev/null", "/dev/dri", "/dev/kfd", "/dev/dxg", "/dev/infiniband"];
/// NVIDIA's devices are numbered.
const NVIDIA: &str = "nvidia";

/// The rules as the kernel holds them; none where it has no Landlock.
pub(super) fn rules(program: &Path, confinement: &Confinement) -> io::Result<Option<OwnedFd>> {
    let rules = build(program, confinement).map_err(io::Error::other)?;
    Ok(rules.into())
}

/// Version of Landlock in this kernel.
#[expect(unsafe_code, reason = "the library does not tell the version")]
pub(super) fn version() -> Option<u32> {
    const VERSION: libc::c_uint = 1;
    // SAFETY: with this flag the call reads no memory and only returns a number.
    let version = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0_usize, VERSION) };
    u32::try_from(version).ok().filter(|version| *version > 0)
}

fn build(program: &Path, confinement: &Confinement) -> Result<RulesetCreated, RulesetError> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let device: BitFlags<AccessFs> = read | AccessFs::WriteFile | AccessFs::IoctlDev;
    let ports: BitFlags<AccessNet> = match confinement.network {
        NetworkUse::None => AccessNet::from_all(NEWEST),
        // Where the other ranks listen is for them to choose.
        NetworkUse::Links { .. } => AccessNet::BindTcp.into(),
    };
    let rules = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(ports)?
        .scope(Scope::from_all(NEWEST))?
        .create()?
        .add_rules(path_beneath_rules([program], read | AccessFs::Execute))?
        .add_rules(path_beneath_rules(LOADERS, read | AccessFs::Execute))?
        .add_rules(path_beneath_rules(READ, read))?
        .add_rules(path_beneath_rules(libraries(), read))?
        .add_rules(path_beneath_rules(&confinement.reads, read))?
        .add_rules(path_beneath_rules(DEVICES.iter().map(PathBuf::from).chain(nvidia_devices()), device))?;
    match confinement.network {
        NetworkUse::None => Ok(rules),
        NetworkUse::Links { ports } => listen(rules, ports),
    }
}

fn listen(rules: RulesetCreated, (first, last): (u16, u16)) -> Result<RulesetCreated, RulesetError> {
    let ports = first..=last.max(first);
    rules.add_rules(ports.map(|port| Ok::<_, RulesetError>(NetPort::new(port, AccessNet::BindTcp))))
}

/// Where the loader looks besides; the child inherits the variable.
fn libraries() -> Vec<PathBuf> {
    let paths = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    std::env::split_paths(&paths).filter(|path| path.is_absolute()).collect()
}

fn nvidia_devices() -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir("/dev") else { return Vec::new() };
    let named = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(NVIDIA));
    entries.filter_map(|entry| Some(entry.ok()?.path())).filter(named).collect()
}
