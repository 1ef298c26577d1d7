//! What a child may use and reach, set between fork and exec.
//!
//! This is the one place where a child is confined: limits here, files and ports in `files`, system calls in `calls`.

mod calls;
mod files;

use nix::libc;
use seccompiler::BpfProgram;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Bounds of a runner process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of address space; the model is mapped, so this is more than it fills. No bound if none is given.
    pub address_space: Option<u64>,
    /// Most open files.
    pub open_files: u64,
    /// From 0 to 1000: how much rather the kernel ends this process than its worker when memory runs out.
    pub oom_score_adj: u16,
}

impl Default for Limits {
    fn default() -> Self {
        Self { address_space: None, open_files: 1024, oom_score_adj: 500 }
    }
}

/// What a confined child may reach besides its program, the system's libraries and the accelerators. It may write no
/// file, and start no other program once it speaks to its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confinement {
    /// Files and folders that it may read.
    pub reads: Vec<PathBuf>,
    /// What it may do on the network.
    pub network: NetworkUse,
}

/// What a child may do on the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkUse {
    /// Nothing: it gets no socket but local ones.
    None,
    /// Links to other ranks over TCP.
    Links {
        /// First and last port on which it may listen; 0 is any that the system chooses.
        ports: (u16, u16),
    },
}

/// How far this kernel can confine children, in words.
pub fn confinement_here() -> String {
    let files = match files::version() {
        Some(version) if version < 4 => {
            format!("files by Landlock {version}, which knows no ports yet (Linux 6.7 does)")
        }
        Some(version) => format!("files and ports by Landlock {version}"),
        None => "not their files, since this kernel has no Landlock".to_owned(),
    };
    match calls::no_programs() {
        Ok(_) => format!("{files}; system calls by seccomp"),
        Err(error) => format!("{files}; not their system calls: {error}"),
    }
}

/// From now on this process starts no other program: what a runner calls first.
pub fn refuse_programs() {
    let refused = calls::no_programs().map_err(|error| error.to_string());
    let applied =
        refused.and_then(|filter| seccompiler::apply_filter_all_threads(&filter).map_err(|error| error.to_string()));
    if let Err(error) = applied {
        tracing::warn!(error, "this process may start other programs");
    }
}

/// Rules in the form in which the child puts them on.
#[derive(Default)]
struct Fetters {
    files: Option<OwnedFd>,
    calls: BpfProgram,
}

impl Fetters {
    fn new(program: &Path, confinement: &Confinement) -> io::Result<Self> {
        let calls = match calls::filter(confinement.network) {
            Ok(filter) => filter,
            // An architecture for which there are no filters.
            Err(error) => {
                tracing::debug!(%error, "system calls are not filtered");
                BpfProgram::default()
            }
        };
        Ok(Self { files: files::rules(program, confinement)?, calls })
    }

    /// Calls only landlock_restrict_self, prctl and seccomp, and allocates nothing.
    #[expect(unsafe_code, reason = "the library's own call is not made for the time after a fork")]
    fn put_on(&self) -> io::Result<()> {
        if let Some(rules) = &self.files {
            // SAFETY: the descriptor is open and names a ruleset; the call takes two numbers.
            let done = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, rules.as_raw_fd(), 0) };
            check(done as libc::c_int)?;
        }
        if self.calls.is_empty() {
            return Ok(());
        }
        seccompiler::apply_filter(&self.calls).map_err(|_| io::Error::from_raw_os_error(libc::EACCES))
    }
}

/// Ties the child to this process, bounds it and confines it. What this kernel does not know is left out.
///
/// `PR_SET_PDEATHSIG` follows the *thread* that forks: the caller has to be a thread that lives as long as the host.
#[expect(unsafe_code, reason = "only pre_exec runs in the child before its program")]
pub(crate) fn confine(command: &mut Command, limits: Limits, confinement: Option<&Confinement>) -> io::Result<()> {
    let program = PathBuf::from(command.get_program());
    let fetters = confinement.map(|confinement| Fetters::new(&program, confinement)).transpose()?.unwrap_or_default();
    let parent = std::process::id();
    let oom_score = oom_score_text(limits.oom_score_adj);
    command.process_group(0);
    // SAFETY: the closure runs in the child between fork and exec, where only async-signal-safe functions may be
    // called. It allocates nothing (its values are Copy or moved in ready), takes no lock, and calls only prctl,
    // getppid, setrlimit, open, write, close, landlock_restrict_self and seccomp. It builds errors from raw codes,
    // which does not allocate either.
    unsafe {
        command.pre_exec(move || {
            die_with_parent(parent)?;
            check(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
            limit(libc::RLIMIT_CORE, 0)?;
            limit(libc::RLIMIT_NOFILE, limits.open_files)?;
            if let Some(bytes) = limits.address_space {
                limit(libc::RLIMIT_AS, bytes)?;
            }
            write_oom_score(&oom_score);
            fetters.put_on()
        });
    }
    Ok(())
}

/// The number padded with spaces, so that nothing is formatted after the fork; a leading zero would make it octal.
fn oom_score_text(score: u16) -> [u8; 4] {
    let score = score.min(1000);
    let digit = |unit: u16| if unit > 1 && score < unit { b' ' } else { b'0' + (score / unit % 10) as u8 };
    [digit(1000), digit(100), digit(10), digit(1)]
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Asks for SIGKILL when the parent ends, then makes sure that it had not ended before the kernel knew.
#[expect(unsafe_code, reason = "prctl and getppid")]
fn die_with_parent(parent: u32) -> io::Result<()> {
    // SAFETY: both calls take plain numbers and are async-signal-safe.
    let current = unsafe {
        check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0))?;
        libc::getppid()
    };
    if current as u32 == parent { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::ESRCH)) }
}

/// Lowers a limit; one that is lower already stays.
#[expect(unsafe_code, reason = "getrlimit and setrlimit")]
fn limit(resource: libc::__rlimit_resource_t, value: u64) -> io::Result<()> {
    let mut bounds = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `bounds` is a valid rlimit for the whole of both calls.
    unsafe {
        check(libc::getrlimit(resource, &mut bounds))?;
        bounds.rlim_max = bounds.rlim_max.min(value);
        bounds.rlim_cur = bounds.rlim_max;
        check(libc::setrlimit(resource, &bounds))
    }
}

/// A sandbox without /proc or with a fixed score is no reason not to run.
#[expect(unsafe_code, reason = "open, write and close without allocating")]
fn write_oom_score(text: &[u8]) {
    // SAFETY: the path is a constant C string, the buffer is valid for its length, and the descriptor is closed once.
    unsafe {
        let file = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if file >= 0 {
            libc::write(file, text.as_ptr().cast(), text.len());
            libc::close(file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_oom_score_is_decimal_and_four_bytes_long() {
        for (score, expect) in [(0, b"   0"), (7, b"   7"), (500, b" 500"), (1000, b"1000"), (9999, b"1000")] {
            assert_eq!(&oom_score_text(score), expect);
        }
    }
}
