//! Files that people write: the configuration, and the instances that they want.

use crate::input;
use exo_config::{Sources, Surroundings, load, print, read_wanted};

/// Reads it as both. What is printed of a configuration is that configuration.
pub(crate) fn run(bytes: &[u8]) {
    let text = input::text(bytes);
    let _ = read_wanted(text);
    let Ok(loaded) = load(&sources(text)) else { return };
    let printed = print(&loaded);
    match load(&sources(&printed)) {
        Ok(again) => assert_eq!(again.config, loaded.config),
        Err(errors) => panic!("{errors}\n{printed}"),
    }
}

fn sources(text: &str) -> Sources<'_> {
    Sources {
        surroundings: Surroundings { host_name: "atlas".to_owned(), data_dir: "/var/lib/exo".to_owned() },
        file: Some(("exo.toml", text)),
        environment: Vec::new(),
        flags: Vec::new(),
    }
}
