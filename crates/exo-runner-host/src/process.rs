//! One child process: watched, killed and reaped without ever touching a process that got its number later.

use crate::keeper::Keeper;
use crate::start::Child as RunnerChild;
use nix::libc;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A child and the descriptor that tells its end.
pub(crate) struct Process {
    /// None once it was handed to the keeper, in `drop`.
    child: Mutex<Option<Child>>,
    pid: u32,
    pidfd: AsyncFd<OwnedFd>,
    keeper: Keeper,
}

impl Process {
    /// Watches a child. Needs a tokio runtime around it.
    pub(crate) fn watch(child: Child, keeper: Keeper) -> io::Result<Self> {
        let pid = child.id();
        let pidfd = match pidfd_open(pid).and_then(watch_end) {
            Ok(pidfd) => pidfd,
            Err(error) => {
                keeper.bury(child);
                return Err(error);
            }
        };
        Ok(Self { child: Mutex::new(Some(child)), pid, pidfd, keeper })
    }

    /// Waits for the end and reaps.
    pub(crate) async fn ended(&self) -> Option<ExitStatus> {
        loop {
            let mut guard = self.pidfd.readable().await.ok()?;
            match self.lock().as_mut()?.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) => guard.clear_ready(),
                Err(_) => return None,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RunnerChild for Process {
    fn pid(&self) -> u32 {
        self.pid
    }

    /// Kills the whole group, unless it has ended.
    fn kill(&self) {
        if let Some(child) = self.lock().as_mut() {
            kill_group(child);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(child) = self.lock().take() {
            self.keeper.bury(child);
        }
    }
}

/// Kills a child and what it started. The child is not reaped before, so its number is still its own.
pub(crate) fn kill_group(child: &mut Child) {
    if matches!(child.try_wait(), Ok(None)) {
        // Fails only if it ended in between, which is what is wanted.
        let _ = killpg(Pid::from_raw(child.id() as i32), Signal::SIGKILL);
        let _ = child.kill();
    }
}

/// Exit code and signal.
pub(crate) fn code_and_signal(status: Option<ExitStatus>) -> (Option<i32>, Option<i32>) {
    (status.and_then(|s| s.code()), status.and_then(|s| s.signal()))
}

#[expect(unsafe_code, reason = "registering a descriptor asks for a promise about it")]
fn watch_end(pidfd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` names the same open descriptor for as long as it lives, and `AsyncFd` owns it from here on;
    // nothing takes it out or closes it before.
    let watched = unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) };
    Ok(watched?)
}

#[expect(unsafe_code, reason = "no library of ours wraps pidfd_open")]
fn pidfd_open(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: the call takes two numbers; the descriptor that it returns is new and owned by nobody else. It is
    // close-on-exec by definition.
    unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, pid as libc::pid_t, 0);
        if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(fd as i32)) }
    }
}
