//! `--print-config`.

use crate::Loaded;
use crate::key::KEYS;
use crate::value::Value;
use std::fmt::Write;

/// The configuration in effect as TOML; every line tells where its value comes from. What it prints can be read again.
pub fn print(loaded: &Loaded) -> String {
    let mut text = String::new();
    let mut section = None;
    for key in KEYS {
        if key.section() != section {
            section = key.section();
            let _ = writeln!(text, "\n[{}]", section.unwrap_or_default());
        }
        let (value, origin) = loaded.values.get(key.path);
        let _ = match value {
            Value::Unset => writeln!(text, "# {} is not set", key.name()),
            value => writeln!(text, "{:<40} # {origin}", format!("{} = {value}", key.name())),
        };
    }
    text
}
