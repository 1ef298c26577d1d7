//! `docs/configuration.md`.

use crate::key::{KEYS, Key};
use crate::load::{Surroundings, Values};
use crate::read::expected;
use crate::value::Value;
use std::fmt::Write;

const HEAD: &str = "# Configuration

One TOML file, `/etc/exo/exo.toml` for a service and `~/.config/exo/exo.toml` for a user; `--config FILE` or `EXO_CONFIG`
names another. Every key has a default, so the file may be missing or empty. Keys that do not exist are refused.

A value comes from the first of these that sets it: a flag, the environment, the file, the default.
`--check-config` reads everything, says what is wrong and ends with 64 if anything is; `--print-config` prints the
configuration in effect and where each value comes from.

Durations are texts such as `\"250ms\"`, `\"10s\"`, `\"10m\"`, `\"1h\"`; amounts of memory are texts such as `\"512 MiB\"`.
In the environment, lists are separated by commas, lists of paths by colons, and a range of ports is written `52420-52499`.

This page is generated: `exo config reference > docs/configuration.md`.
";

/// The reference of all keys as Markdown, made from the same table that reads them.
pub fn reference() -> String {
    let values = Values::defaults(&Surroundings { host_name: String::new(), data_dir: String::new() });
    let mut text = String::from(HEAD);
    let mut section = Some("");
    for key in KEYS {
        if key.section() != section {
            section = key.section();
            let title = section.map_or("Top level".to_owned(), |section| format!("`[{section}]`"));
            let _ = writeln!(text, "\n## {title}");
        }
        let _ = write!(text, "\n### `{}`\n{}\n\n{}", key.name(), key.doc, facts(key, &values));
    }
    text
}

fn facts(key: &Key, values: &Values) -> String {
    let default = match &values.get(key.path).0 {
        Value::Unset => "not set".to_owned(),
        Value::Text(text) if text.is_empty() => "see above".to_owned(),
        value => format!("`{value}`"),
    };
    format!("- default: {default}\n- value: {}\n- environment: `{}`\n", expected(key.kind), key.variable())
}
