//! The data directory: who this node is, and that nobody else is it at the same time.

use crate::{Identity, Role};
use exo_types::NodeId;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Longest content of the small files here.
const SMALL: u64 = 4096;

/// Why a directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// It cannot be made.
    #[error(
        "data directory {path} cannot be made: {error}; create it for this user, or set dataDir (EXO_DATA_DIR, --data-dir)"
    )]
    Create {
        /// The directory.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// There is something else.
    #[error("data directory {path} is not a directory; remove the file, or set dataDir (EXO_DATA_DIR, --data-dir)")]
    NotADirectory {
        /// What stands there.
        path: PathBuf,
    },
    /// It cannot be written to.
    #[error(
        "data directory {path} cannot be written to: {error}; give it to the user that runs exo, or set dataDir (EXO_DATA_DIR, --data-dir)"
    )]
    NotWritable {
        /// The directory.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// Somebody is this node already.
    #[error(
        "exo ({role}) already runs in {path} (process {holder}); stop it, or start this one with another data directory"
    )]
    AlreadyRunning {
        /// The part of exo that runs there.
        role: Role,
        /// The directory.
        path: PathBuf,
        /// Its process, `unknown` if it has not said.
        holder: String,
    },
    /// The name of this node is not readable.
    #[error("{path} does not hold a node id ({reason}); restore the file, or remove it to start as a new node")]
    NodeId {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// An open data directory, locked for a role as long as this lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    role: Role,
    node_id: NodeId,
    /// Dropping them unlocks; so does the end of the process, however it ends.
    _locks: Vec<File>,
}

impl DataDir {
    /// Opens the directory for a process: makes it (mode 0700) if it is missing, checks that it can be written to,
    /// refuses a second start, and finds or makes the node's id, once for all processes of the node.
    pub fn open(path: impl Into<PathBuf>, role: Role) -> Result<Self, DataDirError> {
        let path = path.into();
        make(&path)?;
        check_writable(&path, role)?;
        let locks = role.parts().iter().map(|part| lock(&path, *part)).collect::<Result<_, _>>()?;
        let node_id = find_or_make_node_id(&path, role)?;
        Ok(Self { path, role, node_id, _locks: locks })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name of this node.
    pub fn node_id(&self) -> &NodeId {
        &self.node_id
    }

    /// Who this process is on the bus.
    pub fn identity(&self) -> Identity {
        Identity { node_id: self.node_id.clone(), role: self.role }
    }
}

fn make(path: &Path) -> Result<(), DataDirError> {
    let create = |error| DataDirError::Create { path: path.to_owned(), error };
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return Err(DataDirError::NotADirectory { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(create)?;
        }
        Err(error) => return Err(create(error)),
    }
    let mode = fs::metadata(path).map_err(create)?.permissions().mode();
    if mode & 0o077 != 0 {
        let tighter = Permissions::from_mode(mode & 0o700);
        let not_ours = |error| DataDirError::NotWritable { path: path.to_owned(), error };
        fs::set_permissions(path, tighter).map_err(not_ours)?;
    }
    Ok(())
}

fn check_writable(path: &Path, role: Role) -> Result<(), DataDirError> {
    let probe = path.join(format!(".probe-{role}"));
    let tried = write_private(&probe, b"exo").and_then(|()| fs::remove_file(&probe));
    tried.map_err(|error| {
        // What was written in part must not stay; if it cannot be removed either, the first error says why.
        let _ = fs::remove_file(&probe);
        DataDirError::NotWritable { path: path.to_owned(), error }
    })
}

fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn lock(path: &Path, role: Role) -> Result<File, DataDirError> {
    let not_writable = |error| DataDirError::NotWritable { path: path.to_owned(), error };
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut file = options.open(path.join(format!("{role}.lock"))).map_err(not_writable)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let holder = read_small(&mut file).ok().filter(|holder| !holder.is_empty());
            let holder = holder.unwrap_or_else(|| "unknown".to_owned());
            return Err(DataDirError::AlreadyRunning { role, path: path.to_owned(), holder });
        }
        Err(TryLockError::Error(error)) => return Err(not_writable(error)),
    }
    let noted = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
    noted.map_err(not_writable)?;
    Ok(file)
}

fn read_small(file: &mut File) -> io::Result<String> {
    let mut text = String::new();
    file.take(SMALL).read_to_string(&mut text)?;
    Ok(text.trim().to_owned())
}

/// Several processes of a node may start at once: whoever links its proposal first has named the node.
fn find_or_make_node_id(path: &Path, role: Role) -> Result<NodeId, DataDirError> {
    let file = path.join("node-id");
    if let Some(id) = read_node_id(&file)? {
        return Ok(id);
    }
    let not_writable = |error| DataDirError::NotWritable { path: path.to_owned(), error };
    let proposal = path.join(format!(".node-id-{role}"));
    write_private(&proposal, format!("{}\n", uuid::Uuid::now_v7().simple()).as_bytes()).map_err(not_writable)?;
    let linked = fs::hard_link(&proposal, &file);
    fs::remove_file(&proposal).map_err(not_writable)?;
    match linked {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(not_writable(error)),
    }
    File::open(path).and_then(|directory| directory.sync_all()).map_err(not_writable)?;
    let missing = || DataDirError::NodeId { path: file.clone(), reason: "it vanished".to_owned() };
    read_node_id(&file)?.ok_or_else(missing)
}

fn read_node_id(path: &Path) -> Result<Option<NodeId>, DataDirError> {
    let wrong = |reason: String| DataDirError::NodeId { path: path.to_owned(), reason };
    let text = match File::open(path).and_then(|mut file| read_small(&mut file)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(error.to_string())),
    };
    NodeId::new(text).map(Some).map_err(|error| wrong(error.to_string()))
}

#[cfg(test)]
mod tests;
