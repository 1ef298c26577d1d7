//! A directory.

use super::{Disk, DiskFile, SmallFile};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

const LOG: &str = "log.redb";
const QUARANTINE: &str = "quarantine";

/// Logs that are kept in quarantine, of all that lie beside each other.
const KEPT: usize = 5;

/// Keeps a log in a directory of its own.
#[derive(Debug)]
pub struct DirectoryDisk {
    path: PathBuf,
    /// The file that [`Disk::note_small`] writes, once it was written.
    noted: Mutex<Option<(SmallFile, File)>>,
}

impl DirectoryDisk {
    /// Touches nothing yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), noted: Mutex::new(None) }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn private() -> OpenOptions {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        options
    }
}

fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// What is renamed or made in a directory is there after a power cut only when the directory was synced.
fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// What is in quarantine, by the number at the end of its name: in the order in which it was put there.
fn numbered(shelf: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(shelf)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.rsplit_once('-')?.1.parse().ok());
        all.extend(number.map(|number| (number, entry.path())));
    }
    all.sort();
    Ok(all)
}

/// What somebody else put there has no number, and stays.
fn remove_oldest(shelf: &Path) -> io::Result<()> {
    let all = numbered(shelf)?;
    all.iter().take(all.len().saturating_sub(KEPT)).try_for_each(|(_, path)| fs::remove_dir_all(path))
}

impl Disk for DirectoryDisk {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn open(&self) -> io::Result<Box<dyn DiskFile>> {
        make_directory(&self.path)?;
        let file = Self::private().open(self.file(LOG))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        sync_directory(&self.path)?;
        Ok(Box::new(OpenFile(file)))
    }

    fn has_log(&self) -> io::Result<bool> {
        match fs::metadata(self.file(LOG)) {
            Ok(metadata) => Ok(metadata.len() > 0),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn read_small(&self, file: SmallFile) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.file(file.name())) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn write_small(&self, file: SmallFile, bytes: &[u8]) -> io::Result<()> {
        let new = self.file(&format!("{}.new", file.name()));
        let mut writing = Self::private().open(&new)?;
        writing.set_len(0)?;
        writing.write_all(bytes)?;
        writing.sync_all()?;
        *self.noted.lock().unwrap_or_else(PoisonError::into_inner) = None;
        fs::rename(&new, self.file(file.name()))?;
        sync_directory(&self.path)
    }

    fn note_small(&self, file: SmallFile, bytes: &[u8]) -> io::Result<()> {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((which, open)) = &*noted
            && *which == file
        {
            return open.write_all_at(bytes, 0);
        }
        let open = Self::private().open(self.file(file.name()))?;
        open.write_all_at(bytes, 0)?;
        *noted = Some((file, open));
        Ok(())
    }

    fn quarantine(&self) -> io::Result<String> {
        let parent = self.path.parent().unwrap_or(Path::new("."));
        let shelf = parent.join(QUARANTINE);
        make_directory(&shelf)?;
        let label = self.path.file_name().map_or_else(|| "log".into(), |name| name.to_string_lossy());
        let number = numbered(&shelf)?.last().map_or(1, |(last, _)| last.saturating_add(1));
        let target = shelf.join(format!("{label}-{number}"));
        *self.noted.lock().unwrap_or_else(PoisonError::into_inner) = None;
        make_directory(&target)?;
        // The log goes last: whoever is stopped before that finds it damaged once more.
        for name in [SmallFile::Tail.name(), LOG] {
            match fs::rename(self.file(name), target.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => sync_directory(&target)?,
            }
        }
        sync_directory(&self.path)?;
        if let Err(error) = remove_oldest(&shelf) {
            tracing::warn!(path = %shelf.display(), %error, "old logs in quarantine cannot be removed");
        }
        sync_directory(&shelf)?;
        Ok(target.display().to_string())
    }

    fn blocks(&self) -> bool {
        true
    }
}

/// The log file; locked for as long as it is open.
#[derive(Debug)]
struct OpenFile(File);

impl DiskFile for OpenFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Puts a log away that says which it is, and gives what is in quarantine then.
    fn put_away(logs: &Path, label: &str, says: &str) -> (PathBuf, Vec<String>) {
        let disk = DirectoryDisk::new(logs.join(label));
        disk.open().expect("opens").write(0, says.as_bytes()).expect("writes");
        let moved = PathBuf::from(disk.quarantine().expect("moves"));
        assert!(!disk.has_log().expect("looks"), "it is gone from its place");
        let shelf = fs::read_dir(logs.join(QUARANTINE)).expect("reads");
        let mut names: Vec<String> =
            shelf.map(|entry| entry.expect("reads").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        (moved, names)
    }

    #[test]
    fn the_quarantine_keeps_the_newest() {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        fs::create_dir_all(scratch.path().join("quarantine/by hand")).expect("makes");
        for number in 1..=12_u64 {
            // Logs of several sessions share it.
            let label = if number % 2 == 0 { "3-a" } else { "4-b-2" };
            let (moved, names) = put_away(scratch.path(), label, &number.to_string());
            assert_eq!(moved.file_name().and_then(|name| name.to_str()), Some(&*format!("{label}-{number}")));
            assert_eq!(fs::read_to_string(moved.join(LOG)).expect("is there"), number.to_string());
            assert_eq!(names.len(), 1 + KEPT.min(usize::try_from(number).expect("small")), "{names:?}");
        }
        let (_, names) = put_away(scratch.path(), "3-a", "13");
        assert_eq!(names, ["3-a-10", "3-a-12", "3-a-13", "4-b-2-11", "4-b-2-9", "by hand"]);
    }
}
