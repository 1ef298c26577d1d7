//! Arguments that every service takes.

use clap::Args;
use exo_config::KEYS;
use std::path::PathBuf;

/// Flags for what people change most; everything else stands in the configuration file.
#[derive(Debug, Clone, Default, Args)]
pub struct CommonArgs {
    /// Configuration file [default: /etc/exo/exo.toml for root and services, ~/.config/exo/exo.toml otherwise]
    #[arg(long, value_name = "FILE", env = "EXO_CONFIG")]
    pub config: Option<PathBuf>,
    /// Directory with the node's id, log and models
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Port of the HTTP API
    #[arg(long, value_name = "PORT")]
    pub api_port: Option<u16>,
    /// How much is logged: error, warn, info, debug, trace
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// Any key of the configuration, for example --set networking.loopbackOnly=true
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = parse_setting)]
    pub settings: Vec<(&'static str, String)>,
    /// Check the configuration, say what is wrong, and exit (0 good, 64 not)
    #[arg(long)]
    pub check_config: bool,
    /// Print the configuration in effect and where each value comes from, and exit
    #[arg(long)]
    pub print_config: bool,
}

impl CommonArgs {
    /// Flag as typed, key, value; the later ones win.
    pub(crate) fn overrides(&self) -> Vec<(String, &'static str, String)> {
        let path = self.data_dir.as_ref().map(|path| {
            // A relative path on the command line is meant from here.
            std::path::absolute(path).unwrap_or_else(|_| path.clone()).display().to_string()
        });
        let flags = [
            ("--data-dir", "dataDir", path),
            ("--api-port", "api.port", self.api_port.map(|port| port.to_string())),
            ("--log-level", "logging.level", self.log_level.clone()),
        ];
        let own = flags.into_iter().filter_map(|(flag, key, value)| Some((flag.to_owned(), key, value?)));
        let set = self.settings.iter().map(|(key, value)| (format!("--set {key}"), *key, value.clone()));
        own.chain(set).collect()
    }
}

fn parse_setting(text: &str) -> Result<(&'static str, String), String> {
    let (name, value) = text.split_once('=').ok_or("write KEY=VALUE, for example api.port=8080")?;
    match KEYS.iter().find(|key| key.path == name) {
        Some(key) => Ok((key.path, value.to_owned())),
        None => Err(format!("there is no key `{name}`; --print-config shows all")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        common: CommonArgs,
    }

    fn overrides(args: &[&str]) -> Vec<(String, &'static str, String)> {
        let args = ["exo"].iter().chain(args);
        Program::try_parse_from(args).map(|program| program.common.overrides()).unwrap_or_default()
    }

    #[test]
    fn flags_become_overrides_of_their_keys() {
        let found =
            overrides(&["--api-port", "1", "--set", "engine.threads=2", "--data-dir", "/x", "--log-level", "warn"]);
        let pairs: Vec<(&str, &str)> = found.iter().map(|(_, key, value)| (*key, value.as_str())).collect();
        assert_eq!(pairs, [("dataDir", "/x"), ("api.port", "1"), ("logging.level", "warn"), ("engine.threads", "2")]);
    }

    #[test]
    fn a_setting_that_is_none_is_refused_by_the_command_line() {
        for bad in ["nothing", "no.such.key=1", "=1"] {
            assert!(Program::try_parse_from(["exo", "--set", bad]).is_err(), "{bad}");
        }
    }
}
