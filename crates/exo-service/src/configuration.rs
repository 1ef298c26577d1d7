//! Reading the configuration from the disk and the environment.

use crate::CommonArgs;
use crate::paths::{Place, host_name};
use exo_config::{ConfigErrors, Loaded, Sources, Surroundings, load};
use std::io;
use std::path::{Path, PathBuf};

/// A configuration file is a few KiB; a larger one is surely another file.
const FILE_LIMIT: u64 = 1 << 20;

/// The configuration in effect, and where it comes from.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// What [`exo_config`] made of it.
    pub loaded: Loaded,
    /// The file, or `defaults`.
    pub source: String,
    /// What it was read with, to read it again.
    pub args: CommonArgs,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    /// The file that was asked for cannot be read.
    #[error("configuration {path} cannot be read: {source}; check the path and its permissions")]
    Read {
        /// Which.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// Something in it is wrong.
    #[error(transparent)]
    Wrong(#[from] ConfigErrors),
    /// The level cannot be read.
    #[error(transparent)]
    Level(#[from] exo_telemetry::TelemetryError),
}

/// Reads and checks everything: file, environment, flags. A file that nobody named may be missing.
pub fn read_configuration(args: &CommonArgs) -> Result<Configuration, ConfigurationError> {
    let place = Place::here();
    let (path, is_named) = match &args.config {
        Some(path) => (path.clone(), true),
        None => (place.config_file(), false),
    };
    let text = read(&path, is_named)?;
    let name = path.display().to_string();
    let sources = Sources {
        surroundings: Surroundings { host_name: host_name(), data_dir: place.data_dir().display().to_string() },
        file: text.as_deref().map(|text| (name.as_str(), text)),
        environment: environment(),
        flags: args.overrides(),
    };
    let loaded = load(&sources)?;
    exo_telemetry::check_level(&loaded.config.logging.level)?;
    let source = if text.is_some() { name } else { "defaults".to_owned() };
    Ok(Configuration { loaded, source, args: args.clone() })
}

fn read(path: &Path, is_named: bool) -> Result<Option<String>, ConfigurationError> {
    let failed = |source| ConfigurationError::Read { path: path.to_owned(), source };
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !is_named => return Ok(None),
        Ok(metadata) if metadata.len() > FILE_LIMIT => {
            return Err(failed(io::Error::other(format!("it is larger than {FILE_LIMIT} bytes"))));
        }
        _ => {}
    }
    std::fs::read_to_string(path).map(Some).map_err(failed)
}

/// Variables that are no UTF-8 are nobody's keys.
fn environment() -> Vec<(String, String)> {
    let pairs = std::env::vars_os();
    pairs.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_file(content: &[u8]) -> Result<Configuration, ConfigurationError> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("exo.toml");
        std::fs::write(&path, content).expect("it can be written");
        read_configuration(&CommonArgs { config: Some(path), ..CommonArgs::default() })
    }

    #[test]
    fn a_named_file_is_read_and_a_missing_one_is_refused() {
        let read = read_file(b"[api]\nport = 1234").expect("a good file");
        assert_eq!(read.loaded.config.api.port, 1234);
        assert!(read.source.ends_with("exo.toml"));
        let missing = CommonArgs { config: Some("/nowhere/exo.toml".into()), ..CommonArgs::default() };
        let message = read_configuration(&missing).expect_err("missing").to_string();
        assert!(message.contains("/nowhere/exo.toml"), "{message}");
    }

    #[test]
    fn what_is_wrong_names_the_file_and_line() {
        let message = read_file(b"\n\nprot = 1").expect_err("wrong").to_string();
        assert!(message.contains("exo.toml:3: unknown key `prot`"), "{message}");
        assert!(matches!(read_file(b"\xff"), Err(ConfigurationError::Read { .. })));
        assert!(matches!(read_file(b"[logging]\nlevel = \"exo=loud\""), Err(ConfigurationError::Level(_))));
    }
}
