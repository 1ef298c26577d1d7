//! Where the logs of sessions lie on the disk.
//!
//! ```text
//! <data directory>/master/current            name of the directory in use
//! <data directory>/master/3-0193…/           one directory for each session; those not in use are the archive
//! <data directory>/master/quarantine/…       what was damaged
//! ```

use exo_types::SessionId;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

/// Logs of sessions that are over, kept to look at or to recover from.
pub const ARCHIVED: usize = 5;

/// The file that names the directory in use.
const CURRENT: &str = "current";
/// Not a session's.
const QUARANTINE: &str = "quarantine";
/// Directories that begin alike, at most.
const SAME_LABEL: u32 = 10_000;

/// The logs of one node. Everything blocks, and is on the disk when it returns.
#[derive(Debug, Clone)]
pub struct SessionLogs {
    directory: PathBuf,
}

impl SessionLogs {
    /// Those below a node's data directory. Nothing is made yet.
    pub fn of(data_dir: &Path) -> Self {
        Self { directory: data_dir.join("master") }
    }

    /// The directory below which they lie.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The log in use; none before the first, or when it was moved away.
    pub fn current(&self) -> io::Result<Option<PathBuf>> {
        let name = match fs::read_to_string(self.directory.join(CURRENT)) {
            Ok(name) => name,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let name = name.trim();
        // A name that leads elsewhere is no name of ours.
        let mut components = Path::new(name).components();
        let is_plain = matches!((components.next(), components.next()), (Some(Component::Normal(_)), None));
        Ok(Some(self.directory.join(name)).filter(|path| is_plain && path.is_dir()))
    }

    /// Makes an empty directory for a session, or for one whose name is not known yet. It is not in use yet.
    pub fn begin(&self, session: Option<&SessionId>) -> io::Result<PathBuf> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        let label = session.map_or_else(|| "new".to_owned(), label);
        for n in 1..SAME_LABEL {
            let name = if n == 1 { label.clone() } else { format!("{label}-{n}") };
            let path = self.directory.join(name);
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {
                    sync(&self.directory)?;
                    return Ok(path);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other(format!("{} holds too many logs of the same session", self.directory.display())))
    }

    /// Takes a directory that [`SessionLogs::begin`] made into use: after this the other one is the archive, whatever
    /// happens.
    pub fn set_current(&self, path: &Path) -> io::Result<()> {
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| io::Error::other(format!("{} has no name", path.display())))?;
        let new = self.directory.join("current.new");
        let mut file = File::create(&new)?;
        file.write_all(name.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, self.directory.join(CURRENT))?;
        sync(&self.directory)
    }

    /// Removes the oldest logs beyond `keep` that are not in use, and says which. What is in quarantine stays.
    pub fn prune(&self, keep: usize) -> io::Result<Vec<PathBuf>> {
        let current = self.current()?;
        let mut archived: Vec<(SystemTime, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let path = entry.path();
            let is_log =
                entry.file_type()?.is_dir() && entry.file_name() != QUARANTINE && Some(&path) != current.as_ref();
            if is_log {
                archived.push((changed(&path), path));
            }
        }
        archived.sort();
        let surplus = archived.len().saturating_sub(keep);
        let oldest: Vec<PathBuf> = archived.into_iter().take(surplus).map(|(_, path)| path).collect();
        oldest.iter().try_for_each(fs::remove_dir_all)?;
        Ok(oldest)
    }
}

/// When anything in it was last written.
fn changed(directory: &Path) -> SystemTime {
    let of =
        |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let files = fs::read_dir(directory).into_iter().flatten().flatten();
    files.map(|entry| of(&entry.path())).fold(of(directory), SystemTime::max)
}

fn label(session: &SessionId) -> String {
    let safe = |c: char| if c == '/' || c == ':' { '-' } else { c };
    let master: String = session.master_node_id.as_str().chars().map(safe).collect();
    format!("{}-{master}", session.generation)
}

/// Makes what was created or renamed in a directory survive a power cut.
fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use exo_types::NodeId;
    use std::time::Duration;

    fn session(generation: u64) -> SessionId {
        SessionId { generation, master_node_id: NodeId::new("org/node").expect("a good id") }
    }

    #[test]
    fn one_log_is_in_use_and_the_others_are_the_archive() {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let logs = SessionLogs::of(scratch.path());
        assert_eq!(logs.current().expect("reads"), None);
        let first = logs.begin(None).expect("begins");
        let second = logs.begin(Some(&session(3))).expect("begins");
        let third = logs.begin(Some(&session(3))).expect("begins");
        let names: Vec<_> = [&first, &second, &third].map(|path| path.file_name().expect("a name").to_owned()).into();
        assert_eq!(names, ["new", "3-org-node", "3-org-node-2"]);
        assert_eq!(logs.current().expect("reads"), None, "none is in use before that is said");
        for path in [&first, &second] {
            logs.set_current(path).expect("writes");
            assert_eq!(logs.current().expect("reads").as_ref(), Some(path));
        }
        fs::remove_dir(&second).expect("removes");
        assert_eq!(logs.current().expect("reads"), None, "it was moved away");
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_no_log() {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let logs = SessionLogs::of(scratch.path());
        logs.begin(None).expect("begins");
        for name in ["", ".", "..", "../..", "/", "new/..", "quarantine/../new"] {
            fs::write(logs.directory().join("current"), name).expect("writes");
            assert_eq!(logs.current().expect("reads"), None, "{name:?}");
        }
    }

    /// EXO's recorded case evlog-05: eight sessions leave five archives.
    #[test]
    fn the_archive_is_bounded() {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let logs = SessionLogs::of(scratch.path());
        fs::create_dir_all(logs.directory().join("quarantine/1-x-1")).expect("makes");
        let begin = SystemTime::now() - Duration::from_secs(1000);
        let paths: Vec<PathBuf> = (1..=8)
            .map(|generation| {
                let path = logs.begin(Some(&session(generation))).expect("begins");
                let file = File::create(path.join("log.redb")).expect("makes");
                let when = begin + Duration::from_secs(generation);
                file.set_modified(when).expect("sets");
                File::open(&path).and_then(|directory| directory.set_modified(when)).expect("sets");
                path
            })
            .collect();
        // The one in use stays, however old.
        logs.set_current(&paths[0]).expect("writes");
        assert_eq!(logs.prune(ARCHIVED).expect("prunes"), paths[1..3]);
        assert!(paths[0].is_dir() && paths[3..].iter().all(|path| path.is_dir()));
        assert!(logs.directory().join("quarantine/1-x-1").is_dir());
    }
}
