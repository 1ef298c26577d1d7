//! The private directory with the local sockets between the tunnel and zenoh.
//!
//! It goes with its process. What a process left that was killed is removed by the next one that looks: each holds a lock
//! for as long as it lives.

use crate::error::BusError;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Longest path of a socket, without the zero behind it (`sockaddr_un`).
const SOCKET_PATH: usize = 107;
/// What is added to a directory: `/bus-abcdef/` and a number.
const ADDED: usize = 12 + 20;
const PREFIX: &str = "bus-";
/// Not complete yet: nobody's to remove.
const UNFINISHED: &str = "new-";
const OWNER: &str = "owner";

/// The directory; gone with the last holder.
#[derive(Debug)]
pub(in crate::zenoh) struct Nook {
    path: PathBuf,
    /// Locked for as long as this lives.
    _owner: File,
}

impl Nook {
    /// In the first of the directories that can be used, or in the system's for such things.
    pub fn new(directories: &[PathBuf]) -> Result<Self, BusError> {
        let temporary = std::env::temp_dir();
        let mut reason = String::new();
        for directory in directories.iter().chain([&temporary]) {
            match Self::below(directory) {
                Ok(nook) => return Ok(nook),
                Err(error) => reason = format!("{}: {error}", directory.display()),
            }
        }
        Err(BusError::Transport {
            action: "make a directory for its local sockets",
            reason: format!("{reason}; check XDG_RUNTIME_DIR and TMPDIR"),
        })
    }

    fn below(directory: &Path) -> io::Result<Self> {
        if directory.as_os_str().as_bytes().len() + ADDED > SOCKET_PATH {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "its path is too long for sockets"));
        }
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        remove_abandoned(directory);
        let mut builder = tempfile::Builder::new();
        builder.prefix(UNFINISHED).rand_bytes(6).permissions(Permissions::from_mode(0o700));
        let unfinished = builder.tempdir_in(directory)?;
        let owner = OpenOptions::new().write(true).create_new(true).mode(0o600).open(unfinished.path().join(OWNER))?;
        owner.lock()?;
        let name = unfinished.path().file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let path = directory.join(name.replacen(UNFINISHED, PREFIX, 1));
        fs::rename(unfinished.path(), &path)?;
        // It has another name now.
        let _renamed = unfinished.keep();
        Ok(Self { path, _owner: owner })
    }

    /// Where zenoh listens.
    pub fn listener(&self) -> PathBuf {
        self.path.join("z")
    }

    /// Where it is to call for link `number`.
    pub fn caller(&self, number: u64) -> PathBuf {
        self.path.join(number.to_string())
    }
}

impl Drop for Nook {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::debug!(%error, "the directory of the local sockets stays; the next process removes it");
        }
    }
}

/// Those whose owner is dead. What cannot be looked at or removed is somebody else's.
fn remove_abandoned(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let is_ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        let is_abandoned = || File::open(entry.path().join(OWNER)).is_ok_and(|owner| owner.try_lock().is_ok());
        if is_ours && is_abandoned() && fs::remove_dir_all(entry.path()).is_ok() {
            tracing::debug!(path = %entry.path().display(), "removed what a killed process left");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).expect("readable").flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn it_is_private_and_goes_with_its_holder() {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let nook = Nook::new(&[scratch.path().join("run")]).expect("makes one");
        let mode = fs::metadata(&nook.path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        assert!(nook.caller(u64::MAX).as_os_str().len() <= SOCKET_PATH);
        drop(nook);
        assert!(names(&scratch.path().join("run")).is_empty());
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_what_lives_is_not() {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let directories = [scratch.path().to_path_buf()];
        let alive = Nook::new(&directories).expect("makes one");
        let abandoned = scratch.path().join("bus-killed");
        fs::create_dir(&abandoned).expect("makes it");
        fs::write(abandoned.join(OWNER), "").expect("writes");
        let foreign = scratch.path().join("bus-stop");
        fs::create_dir(&foreign).expect("makes it");
        let next = Nook::new(&directories).expect("makes another");
        assert!(!abandoned.exists(), "its owner is dead");
        assert!(alive.path.exists() && next.path.exists() && foreign.exists());
    }

    #[test]
    fn a_directory_with_a_long_name_or_that_cannot_be_made_is_passed_over() {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let file = scratch.path().join("file");
        fs::write(&file, "").expect("writes");
        let good = scratch.path().join("good");
        let nook = Nook::new(&[scratch.path().join("x".repeat(100)), file.join("below"), good.clone()]);
        assert!(nook.expect("makes one").path.starts_with(&good));
    }
}
