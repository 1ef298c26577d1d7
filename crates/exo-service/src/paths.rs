//! Where things lie unless somebody says otherwise.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What decides about paths; read once.
pub(crate) struct Place {
    pub(crate) is_root: bool,
    /// systemd's `ConfigurationDirectory=`, if it started us.
    pub(crate) configuration_directory: Option<String>,
    /// systemd's `StateDirectory=`.
    pub(crate) state_directory: Option<String>,
    /// systemd's `RuntimeDirectory=`.
    pub(crate) runtime_directory: Option<String>,
    /// The user's own, as logind makes it.
    pub(crate) runtime_home: Option<String>,
    /// systemd's `LoadCredential=`.
    pub(crate) credentials_directory: Option<String>,
    pub(crate) config_home: Option<String>,
    pub(crate) data_home: Option<String>,
    pub(crate) home: Option<String>,
}

impl Place {
    pub(crate) fn here() -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| value.starts_with('/'));
        Self {
            is_root: std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0),
            configuration_directory: variable("CONFIGURATION_DIRECTORY"),
            state_directory: variable("STATE_DIRECTORY"),
            runtime_directory: variable("RUNTIME_DIRECTORY"),
            runtime_home: variable("XDG_RUNTIME_DIR"),
            credentials_directory: variable("CREDENTIALS_DIRECTORY"),
            config_home: variable("XDG_CONFIG_HOME"),
            data_home: variable("XDG_DATA_HOME"),
            home: variable("HOME"),
        }
    }

    /// The file that is read if it is there.
    pub(crate) fn config_file(&self) -> PathBuf {
        // systemd separates several directories by colons; the first is ours.
        if let Some(directories) = &self.configuration_directory {
            return PathBuf::from(first(directories)).join("exo.toml");
        }
        if self.is_root || self.state_directory.is_some() {
            return PathBuf::from("/etc/exo/exo.toml");
        }
        self.of_user(self.config_home.as_ref(), ".config").join("exo/exo.toml")
    }

    /// The directory of the node.
    pub(crate) fn data_dir(&self) -> PathBuf {
        if let Some(directories) = &self.state_directory {
            return PathBuf::from(first(directories));
        }
        if self.is_root {
            return PathBuf::from("/var/lib/exo");
        }
        self.of_user(self.data_home.as_ref(), ".local/share").join("exo")
    }

    /// Where sockets may be that go with their process, best first.
    pub(crate) fn runtime_dirs(&self, data_dir: &Path) -> Vec<PathBuf> {
        let service = self.runtime_directory.as_ref().map(|directories| PathBuf::from(first(directories)));
        let user = self.runtime_home.as_ref().map(|home| PathBuf::from(home).join("exo"));
        service.into_iter().chain(user).chain([data_dir.join("run")]).collect()
    }

    /// A secret that systemd handed over, if it is there.
    pub(crate) fn credential(&self, name: &str) -> Option<PathBuf> {
        let path = PathBuf::from(self.credentials_directory.as_ref()?).join(name);
        path.is_file().then_some(path)
    }

    fn of_user(&self, xdg: Option<&String>, below_home: &str) -> PathBuf {
        match (xdg, &self.home) {
            (Some(path), _) => PathBuf::from(path),
            (None, Some(home)) => PathBuf::from(home).join(below_home),
            (None, None) => PathBuf::from("/"),
        }
    }
}

fn first(directories: &str) -> &str {
    directories.split(':').next().unwrap_or(directories)
}

/// The host's name without its domain.
pub(crate) fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim().split('.').next() {
        Some(name) if !name.is_empty() => name.to_owned(),
        _ => "localhost".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_root_and_users_have_their_own_paths() {
        let text = |text: &str| Some(text.to_owned());
        let user = || Place {
            is_root: false,
            configuration_directory: None,
            state_directory: None,
            runtime_directory: None,
            runtime_home: None,
            credentials_directory: None,
            config_home: None,
            data_home: None,
            home: text("/home/ada"),
        };
        for (place, config, data) in [
            (user(), "/home/ada/.config/exo/exo.toml", "/home/ada/.local/share/exo"),
            (Place { config_home: text("/c"), data_home: text("/d"), ..user() }, "/c/exo/exo.toml", "/d/exo"),
            (Place { is_root: true, ..user() }, "/etc/exo/exo.toml", "/var/lib/exo"),
            (Place { state_directory: text("/var/lib/exo:/x"), ..user() }, "/etc/exo/exo.toml", "/var/lib/exo"),
            (
                Place { configuration_directory: text("/etc/private"), state_directory: text("/s"), ..user() },
                "/etc/private/exo.toml",
                "/s",
            ),
        ] {
            assert_eq!((place.config_file(), place.data_dir()), (PathBuf::from(config), PathBuf::from(data)));
        }
    }

    #[test]
    fn sockets_lie_where_the_system_clears_them_and_else_with_the_node() {
        let nothing = Place {
            is_root: false,
            configuration_directory: None,
            state_directory: None,
            runtime_directory: None,
            runtime_home: None,
            credentials_directory: None,
            config_home: None,
            data_home: None,
            home: None,
        };
        let data = Path::new("/data");
        assert_eq!(nothing.runtime_dirs(data), [PathBuf::from("/data/run")]);
        let (runtime_directory, runtime_home) = (Some("/run/exo:/run/x".to_owned()), Some("/run/user/7".to_owned()));
        let all = Place { runtime_directory, runtime_home, ..nothing };
        assert_eq!(all.runtime_dirs(data), ["/run/exo", "/run/user/7/exo", "/data/run"].map(PathBuf::from));
    }
}
