//! The files in which the kernel tells what there is, below a root: the real one, or a recorded tree.

use crate::Availability;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// No file of the kernel that is read here is longer; a line per processor, at most a few thousand of them.
const LIMIT: u64 = 16 << 20;

/// More entries than any directory here has; what lies beyond is not looked at.
const ENTRIES: usize = 16 << 10;

/// Where `/sys`, `/proc`, `/dev` and `/etc` lie.
#[derive(Debug, Clone)]
pub struct Sysfs {
    root: PathBuf,
}

impl Sysfs {
    /// Of this machine.
    pub fn host() -> Self {
        Self::at("/")
    }

    /// A tree that was recorded elsewhere.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Whether this is the machine itself, so that the system's calls tell of the same one.
    pub(crate) fn is_host(&self) -> bool {
        self.root == Path::new("/")
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// The whole file; bytes that are no text are replaced. Why not, otherwise.
    pub(crate) fn read(&self, path: &str) -> Result<String, Availability> {
        let mut bytes = Vec::new();
        let read = File::open(self.path(path)).and_then(|file| file.take(LIMIT).read_to_end(&mut bytes));
        match read {
            Ok(_) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) => Err(Availability::of_error(path, &error)),
        }
    }

    /// The file without the white space and the NUL at its end; nothing if it is empty or cannot be read.
    pub(crate) fn text(&self, path: &str) -> Option<String> {
        let text = self.read(path).ok()?;
        let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// The file as one number.
    pub(crate) fn number<T: FromStr>(&self, path: &str) -> Option<T> {
        self.text(path)?.parse().ok()
    }

    /// Names in a directory, in the order in which people count; none if it cannot be read.
    pub(crate) fn list(&self, path: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path(path)) else { return Vec::new() };
        let names = entries.take(ENTRIES).filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<String> = names.collect();
        names.sort_by_key(|name| counted(name));
        names
    }

    /// Last part of what a symbolic link leads to: drivers and devices are told in this way.
    pub(crate) fn link(&self, path: &str) -> Option<String> {
        let target = fs::read_link(self.path(path)).ok()?;
        Some(target.file_name()?.to_str()?.to_owned())
    }

    pub(crate) fn exists(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// Whether this process may use a device node. It is opened: permissions of the file say less than the control
    /// group's list of devices.
    pub(crate) fn device(&self, path: &str) -> Availability {
        match OpenOptions::new().read(true).write(true).open(self.path(path)) {
            Ok(_) => Availability::Ready,
            Err(error) => Availability::of_error(path, &error),
        }
    }
}

/// `eth2` before `eth10`.
fn counted(name: &str) -> (String, u64, String) {
    let digits = name.find(|c: char| c.is_ascii_digit()).unwrap_or(name.len());
    let (word, rest) = name.split_at(digits);
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (number, rest) = rest.split_at(end);
    (word.to_owned(), number.parse().unwrap_or(0), rest.to_owned())
}

impl Availability {
    /// What an error of the system means for who wanted the file.
    pub(crate) fn of_error(path: &str, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::NotPresent,
            io::ErrorKind::PermissionDenied => Self::NoPermission { path: path.to_owned() },
            _ => Self::Unusable { reason: format!("{path}: {error}") },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_below_the_root_and_nowhere_else() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir_all(folder.path().join("sys/x")).expect("it is made");
        for name in ["eth10", "eth2", "lo", "2"] {
            fs::write(folder.path().join("sys/x").join(name), " 7\n\0").expect("it is written");
        }
        std::os::unix::fs::symlink("../x", folder.path().join("sys/link")).expect("it is linked");
        let sysfs = Sysfs::at(folder.path());
        assert_eq!(sysfs.list("/sys/x"), ["2", "eth2", "eth10", "lo"]);
        assert_eq!(sysfs.number::<u32>("/sys/x/lo"), Some(7));
        assert_eq!(sysfs.number::<u32>("/sys/x/none"), None);
        assert_eq!(sysfs.link("/sys/link").as_deref(), Some("x"));
        assert_eq!(sysfs.read("/proc/cpuinfo"), Err(Availability::NotPresent));
        assert_eq!(sysfs.device("/sys/x/lo"), Availability::Ready);
        assert!(!sysfs.is_host() && Sysfs::host().is_host());
    }

    #[test]
    fn a_closed_file_is_a_state_with_its_path() {
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let expect = Availability::NoPermission { path: "/dev/kfd".to_owned() };
        assert_eq!(Availability::of_error("/dev/kfd", &denied), expect);
    }
}
