//! The files of an identity: `identity/` in the data directory, for this user alone.
//!
//! | file | what |
//! |---|---|
//! | `node.key` | the node's key |
//! | `node.crt` | its certificate; the only file that changes, every twenty days |
//! | `cluster.crt` | the authority's certificate |
//! | `cluster.key` | the authority's key, on nodes that have a master |
//! | `members.json` | the keys of the cluster's nodes as last heard, so that a revocation outlives a restart |
//! | `masters` | where masters were when this node was let in |
//!
//! A file is replaced whole or not at all; so is the directory, when the node moves to another cluster.

use crate::error::IdentityError;
use crate::key::Key;
use crate::members::Members;
use crate::parts::IdentityParts;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Longest file here; the members of a large cluster are the longest.
const LIMIT: u64 = 4 << 20;
/// How often a lock is tried that another process holds.
const LOOK: Duration = Duration::from_millis(50);

const NODE_KEY: &str = "node.key";
const NODE_CERTIFICATE: &str = "node.crt";
const CLUSTER_CERTIFICATE: &str = "cluster.crt";
const CLUSTER_KEY: &str = "cluster.key";
const MEMBERS: &str = "members.json";
const MASTERS: &str = "masters";

/// Where a node's identity lies.
#[derive(Debug, Clone)]
pub struct IdentityStore {
    data_dir: PathBuf,
}

impl IdentityStore {
    /// In that data directory, which exists.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self { data_dir: data_dir.into() }
    }

    /// The directory with the files.
    pub fn directory(&self) -> PathBuf {
        self.data_dir.join("identity")
    }

    /// The parts; none if there is no identity yet.
    pub fn load(&self) -> Result<Option<IdentityParts>, IdentityError> {
        let Some(key) = self.read_key(NODE_KEY)? else {
            // A directory without a key is no identity that was begun: the directory comes into place as a whole.
            return match self.directory().exists() {
                true => Err(self.damaged(NODE_KEY, "it is missing")),
                false => Ok(None),
            };
        };
        let missing = |name| move || self.damaged(name, "it is missing");
        Ok(Some(IdentityParts {
            key,
            certificate: self.read_certificate(NODE_CERTIFICATE)?.ok_or_else(missing(NODE_CERTIFICATE))?,
            authority: self.read_certificate(CLUSTER_CERTIFICATE)?.ok_or_else(missing(CLUSTER_CERTIFICATE))?,
            authority_key: self.read_key(CLUSTER_KEY)?,
        }))
    }

    /// Puts a whole identity into place. What was there before goes to `archive/`, together with the named entries of the
    /// data directory: they belong to the old cluster. Says where.
    pub(crate) fn establish(
        &self,
        parts: &IdentityParts,
        masters: &[String],
        set_aside: &[&str],
        label: &str,
    ) -> Result<Option<PathBuf>, IdentityError> {
        let next = self.data_dir.join("identity.next");
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error| IdentityError::File { path, error }
        };
        if next.exists() {
            fs::remove_dir_all(&next).map_err(failed(&next))?;
        }
        make_directory(&next).map_err(failed(&next))?;
        let files = [
            (NODE_KEY, Some(pem("PRIVATE KEY", &parts.key))),
            (NODE_CERTIFICATE, Some(pem("CERTIFICATE", &parts.certificate))),
            (CLUSTER_CERTIFICATE, Some(pem("CERTIFICATE", &parts.authority))),
            (CLUSTER_KEY, parts.authority_key.as_ref().map(|key| pem("PRIVATE KEY", key))),
            (MASTERS, Some(masters.iter().map(|master| format!("{master}\n")).collect())),
        ];
        for (name, content) in files {
            if let Some(content) = content {
                write_whole(&next, name, content.as_bytes()).map_err(failed(&next.join(name)))?;
            }
        }
        let archived = self.archive(set_aside, label)?;
        fs::rename(&next, self.directory()).and_then(|()| sync(&self.data_dir)).map_err(failed(&self.directory()))?;
        Ok(archived)
    }

    /// The key of an admission that was not finished, or a new one that is kept for it: a master that has let a node in
    /// under a key lets nobody else in under its name.
    pub(crate) fn draft_key(&self) -> Result<Key, IdentityError> {
        let next = self.data_dir.join("identity.next");
        let failed = |error| IdentityError::File { path: next.join(NODE_KEY), error };
        let drafted = read_small(&next.join(NODE_KEY)).ok().flatten();
        let drafted = drafted.and_then(|text| PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes()).ok());
        if let Some(key) = drafted.and_then(|der| Key::from_pkcs8(der.secret_pkcs8_der()).ok()) {
            return Ok(key);
        }
        let key = Key::generate()?;
        make_directory(&next).map_err(failed)?;
        write_whole(&next, NODE_KEY, pem("PRIVATE KEY", &key.to_pkcs8()).as_bytes()).map_err(failed)?;
        Ok(key)
    }

    fn archive(&self, set_aside: &[&str], label: &str) -> Result<Option<PathBuf>, IdentityError> {
        if !self.directory().exists() {
            return Ok(None);
        }
        let archive = self.data_dir.join("archive").join(label);
        let failed = |error| IdentityError::File { path: archive.clone(), error };
        make_directory(&archive).map_err(failed)?;
        // The identity last: if this is cut off, the next start still finds the old cluster, and nothing is mixed.
        for name in set_aside.iter().copied().chain(["identity"]) {
            match fs::rename(self.data_dir.join(name), archive.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
                _ => {}
            }
        }
        Ok(Some(archive))
    }

    /// If a move to another cluster was cut off between its two renames, ends it.
    pub(crate) fn recover(&self) -> Result<(), IdentityError> {
        let next = self.data_dir.join("identity.next");
        let whole =
            [NODE_KEY, NODE_CERTIFICATE, CLUSTER_CERTIFICATE, MASTERS].iter().all(|name| next.join(name).is_file());
        if self.directory().exists() || !whole || !self.data_dir.join("archive").exists() {
            return Ok(());
        }
        let failed = |error| IdentityError::File { path: self.directory(), error };
        fs::rename(&next, self.directory()).and_then(|()| sync(&self.data_dir)).map_err(failed)
    }

    /// Replaces the certificate, and adds the authority's key if it came with it.
    pub fn save(&self, parts: &IdentityParts) -> Result<(), IdentityError> {
        if let Some(key) = &parts.authority_key {
            self.write(CLUSTER_KEY, pem("PRIVATE KEY", key).as_bytes())?;
        }
        self.write(NODE_CERTIFICATE, pem("CERTIFICATE", &parts.certificate).as_bytes())
    }

    /// The members as they were saved last; none if that cannot be read, for they are told again.
    pub fn members(&self) -> Members {
        let text = read_small(&self.directory().join(MEMBERS)).ok().flatten();
        match text.map(|text| serde_json::from_str(&text)) {
            Some(Ok(members)) => members,
            Some(Err(error)) => {
                tracing::warn!(%error, "the members that were saved last cannot be read; they are told anew");
                Members::default()
            }
            None => Members::default(),
        }
    }

    /// Saves the members.
    pub fn save_members(&self, members: &Members) -> Result<(), IdentityError> {
        let text = serde_json::to_string_pretty(members).expect("members are maps of texts");
        self.write(MEMBERS, text.as_bytes())
    }

    /// Where masters were.
    pub(crate) fn masters(&self) -> Vec<String> {
        let text = read_small(&self.directory().join(MASTERS)).ok().flatten().unwrap_or_default();
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).take(64).collect()
    }

    /// Only one process of a node makes or renews its identity at a time; the others wait.
    pub(crate) fn lock(&self, within: Duration) -> Result<File, IdentityError> {
        let path = self.data_dir.join("identity.lock");
        let failed = |error| IdentityError::File { path: path.clone(), error };
        let mut options = OpenOptions::new();
        let file =
            options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(failed)?;
        let deadline = Instant::now() + within;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(LOOK),
                Err(TryLockError::WouldBlock) => return Err(IdentityError::Busy(within)),
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
    }

    pub(crate) fn damaged(&self, name: &str, reason: impl Into<String>) -> IdentityError {
        let directory = self.directory();
        IdentityError::Damaged { path: directory.join(name), directory, reason: reason.into() }
    }

    fn write(&self, name: &str, content: &[u8]) -> Result<(), IdentityError> {
        let directory = self.directory();
        write_whole(&directory, name, content)
            .map_err(|error| IdentityError::File { path: directory.join(name), error })
    }

    fn read(&self, name: &str) -> Result<Option<String>, IdentityError> {
        let path = self.directory().join(name);
        read_small(&path).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => self.damaged(name, "it is no text"),
            _ => IdentityError::File { path, error },
        })
    }

    fn read_certificate(&self, name: &str) -> Result<Option<Vec<u8>>, IdentityError> {
        let Some(text) = self.read(name)? else { return Ok(None) };
        let certificate = CertificateDer::from_pem_slice(text.as_bytes());
        certificate.map(|der| Some(der.to_vec())).map_err(|error| self.damaged(name, error.to_string()))
    }

    fn read_key(&self, name: &str) -> Result<Option<Vec<u8>>, IdentityError> {
        let Some(text) = self.read(name)? else { return Ok(None) };
        let key = PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes());
        // The library's reason might show a part of the key.
        key.map(|der| Some(der.secret_pkcs8_der().to_vec())).map_err(|_| self.damaged(name, "it is no key in PEM"))
    }
}

fn read_small(path: &Path) -> io::Result<Option<String>> {
    match File::open(path) {
        Ok(file) => {
            let mut text = String::new();
            file.take(LIMIT).read_to_string(&mut text)?;
            Ok(Some(text))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn write_whole(directory: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let draft = directory.join(format!(".{name}-{}", std::process::id()));
    let written = write_private(&draft, content).and_then(|()| fs::rename(&draft, directory.join(name)));
    if written.is_err() {
        // What was written in part must not stay; the first error says why.
        let _gone = fs::remove_file(&draft);
    }
    written.and_then(|()| sync(directory))
}

fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// As `openssl` reads it.
fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| str::from_utf8(line).expect("base64 is ASCII")).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
