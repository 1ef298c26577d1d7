//! SIGHUP: what of the configuration changes while a process runs.

use crate::{CommonArgs, read_configuration};
use exo_config::{Api, Config, Logging};
use exo_telemetry::{Logs, Notifier};
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

type Apply = Box<dyn Fn(&Config) -> Result<(), String> + Send + Sync>;

/// Those who take up a changed configuration. Cheap to clone.
#[derive(Clone, Default)]
pub struct Reloads(Arc<Mutex<Vec<Apply>>>);

impl Reloads {
    /// Has `apply` called at every reload, with a configuration that was checked as a whole. What it refuses must leave
    /// everything as it was. It must not wait: the process is being told to go on.
    pub fn add(&self, apply: impl Fn(&Config) -> Result<(), String> + Send + Sync + 'static) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(apply));
    }

    fn apply(&self, config: &Config) -> Result<(), String> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let refused: Vec<String> = all.iter().filter_map(|apply| apply(config).err()).collect();
        if refused.is_empty() { Ok(()) } else { Err(refused.join("; ")) }
    }
}

/// Reads the configuration again when it is asked to.
pub(crate) struct Reloader {
    pub(crate) args: CommonArgs,
    pub(crate) running: Arc<Config>,
    pub(crate) logs: Logs,
    pub(crate) notifier: Notifier,
    pub(crate) reloads: Reloads,
}

impl Reloader {
    /// Until `stop`. A process at a terminal is left alone: there the signal means that the terminal is gone.
    pub(crate) async fn run(self, stop: CancellationToken) {
        if std::io::stdin().is_terminal() {
            return;
        }
        let Ok(mut hangup) = signal(SignalKind::hangup()) else {
            return tracing::warn!("SIGHUP cannot be caught; a changed configuration needs a restart");
        };
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = hangup.recv() => self.reload(),
            }
        }
    }

    fn reload(&self) {
        self.notifier.reloading();
        match self.take_up() {
            Ok(()) => tracing::info!("SIGHUP: the configuration is read again"),
            Err(reason) => {
                tracing::error!("SIGHUP: the configuration in use stays, since the new one is bad: {reason}")
            }
        }
        self.notifier.reloaded();
    }

    fn take_up(&self) -> Result<(), String> {
        let config = read_configuration(&self.args).map_err(|error| error.to_string())?.loaded.config;
        self.reloads.apply(&config)?;
        self.logs.set_level(&config.logging.level).map_err(|error| error.to_string())?;
        if needs_restart(&self.running, &config) {
            tracing::warn!(
                "some of what changed takes effect at the next start only: it is not `logging.level`, `api.keyFile`, `api.tls` or a limit of `api`"
            );
        }
        Ok(())
    }
}

/// Whether anything differs that is read at the start only.
fn needs_restart(running: &Config, new: &Config) -> bool {
    let api = Api {
        key_file: new.api.key_file.clone(),
        max_body_bytes: new.api.max_body_bytes,
        request_timeout: new.api.request_timeout,
        header_timeout: new.api.header_timeout,
        max_concurrent: new.api.max_concurrent,
        tls: new.api.tls.clone(),
        ..running.api.clone()
    };
    let logging = Logging { level: new.logging.level.clone(), ..running.logging.clone() };
    Config { api, logging, ..running.clone() } != *new
}

#[cfg(test)]
mod tests {
    use super::*;
    use exo_config::{Sources, Surroundings, load};

    fn config(text: &str) -> Config {
        let surroundings = Surroundings { host_name: "atlas".to_owned(), data_dir: "/var/lib/exo".to_owned() };
        let file = Some(("exo.toml", text));
        let sources = Sources { surroundings, file, environment: Vec::new(), flags: Vec::new() };
        load(&sources).expect("a good configuration").config
    }

    #[test]
    fn what_is_read_at_the_start_only_is_told_apart() {
        let running = config("");
        for (text, expect) in [
            ("", false),
            ("[logging]\nlevel = \"debug\"", false),
            ("[api]\nmaxConcurrent = 3\nkeyFile = \"/k\"\nrequestTimeout = \"1m\"", false),
            ("[api.tls]\ncertificate = \"/c\"\nkey = \"/k\"", false),
            ("[api]\nport = 1", true),
            ("[logging]\nformat = \"json\"", true),
            ("[engine]\nthreads = 3", true),
        ] {
            assert_eq!(needs_restart(&running, &config(text)), expect, "{text}");
        }
    }

    #[test]
    fn everybody_is_asked_and_every_refusal_is_told() {
        let reloads = Reloads::default();
        reloads.add(|_| Err("no key".to_owned()));
        reloads.add(|config| if config.api.max_concurrent == 64 { Err("no place".to_owned()) } else { Ok(()) });
        assert_eq!(reloads.apply(&config("")), Err("no key; no place".to_owned()));
        assert_eq!(reloads.apply(&config("[api]\nmaxConcurrent = 3")), Err("no key".to_owned()));
    }
}
