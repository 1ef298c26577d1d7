//! Defaults, then the file, then the environment, then flags.

mod resolve;
mod values;

use crate::key::{self, ALIASES, KEYS, Key, RESERVED};
use crate::nearest::{hint, nearest};
use crate::read::{Mismatch, from_text, from_toml};
use crate::value::Value;
use crate::{Config, ConfigErrors, Problem, check};
use std::fmt;
use toml::de::{DeTable, DeValue};
pub(crate) use values::Values;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// Name and line of a file.
    File(String, usize),
    /// Name of a variable.
    Environment(String),
    /// Name of a flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(name, line) => write!(f, "{name}:{line}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// What this machine gives for keys that nobody set.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// For `name`.
    pub host_name: String,
    /// For `dataDir`.
    pub data_dir: String,
}

/// Everything that sets keys. The later ones win.
#[derive(Debug, Clone)]
pub struct Sources<'a> {
    /// What this machine gives.
    pub surroundings: Surroundings,
    /// Name and text of the file, if there is one.
    pub file: Option<(&'a str, &'a str)>,
    /// The environment; what does not begin with `EXO_` is ignored.
    pub environment: Vec<(String, String)>,
    /// Flag as typed, path of the key, value: `("--api-port", "api.port", "8080")`.
    pub flags: Vec<(String, &'static str, String)>,
}

/// What [`load`] returns.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration in effect.
    pub config: Config,
    /// Things that are odd but harm nothing, for the log.
    pub warnings: Vec<String>,
    pub(crate) values: Values,
}

/// Reads all sources and checks the whole. Pure: nothing is opened, looked up or written.
pub fn load(sources: &Sources<'_>) -> Result<Loaded, ConfigErrors> {
    let mut loader =
        Loader { values: Values::defaults(&sources.surroundings), problems: Vec::new(), warnings: Vec::new() };
    if let Some((name, text)) = sources.file {
        loader.file(name, text);
    }
    loader.environment(&sources.environment);
    for (flag, path, text) in &sources.flags {
        loader.text(Origin::Flag(flag.clone()), path, text);
    }
    let Loader { values, mut problems, warnings } = loader;
    if !problems.is_empty() {
        return Err(ConfigErrors { problems });
    }
    let config = values.resolve();
    problems.extend(check::conflicts(&config));
    match problems.is_empty() {
        true => Ok(Loaded { config, warnings, values }),
        false => Err(ConfigErrors { problems }),
    }
}

struct Loader {
    values: Values,
    problems: Vec<Problem>,
    warnings: Vec<String>,
}

impl Loader {
    fn file(&mut self, name: &str, text: &str) {
        let origin = |offset: usize| Origin::File(name.to_owned(), line_of(text, offset));
        let table = match DeTable::parse(text) {
            Ok(table) => table,
            Err(error) => {
                let at = origin(error.span().map_or(0, |span| span.start));
                return self.problems.push(Problem::Syntax { origin: at, message: error.message().to_owned() });
            }
        };
        self.table("", table.get_ref(), &origin);
    }

    /// The keys of a section, or of the top, whose names begin with `prefix`; sections within it too.
    fn table(&mut self, prefix: &str, table: &DeTable<'_>, origin: &impl Fn(usize) -> Origin) {
        for (name, value) in table {
            let path = format!("{prefix}{}", name.get_ref());
            match value.get_ref() {
                DeValue::Table(entries) if KEYS.iter().any(|key| key.section() == Some(&path)) => {
                    self.table(&format!("{path}."), entries, origin);
                }
                value => self.entry(origin(name.span().start), &path, value),
            }
        }
    }

    fn entry(&mut self, origin: Origin, path: &str, value: &DeValue<'_>) {
        match key::find(path) {
            Some(key) => self.set(origin, key, from_toml(key.kind, value)),
            None => self.problems.push(Problem::UnknownKey { origin, key: path.to_owned(), hint: hint(path) }),
        }
    }

    fn environment(&mut self, pairs: &[(String, String)]) {
        // A short name first, so that the key's own variable wins.
        for (alias, path) in ALIASES {
            for (name, text) in pairs.iter().filter(|(name, _)| name == alias) {
                self.text(Origin::Environment(name.clone()), path, text);
            }
        }
        for (name, text) in pairs.iter().filter(|(name, _)| name.starts_with("EXO_")) {
            if let Some(key) = KEYS.iter().find(|key| key.variable() == *name) {
                self.text(Origin::Environment(name.clone()), key.path, text);
            } else if !RESERVED.contains(&name.as_str()) && !ALIASES.iter().any(|(alias, _)| alias == name) {
                self.warnings.push(unknown_variable(name));
            }
        }
    }

    fn text(&mut self, origin: Origin, path: &str, text: &str) {
        match key::find(path) {
            Some(key) => self.set(origin, key, from_text(key.kind, text)),
            None => self.problems.push(Problem::UnknownKey { origin, key: path.to_owned(), hint: hint(path) }),
        }
    }

    fn set(&mut self, origin: Origin, key: &'static Key, read: Result<Value, Mismatch>) {
        match read {
            // An empty variable unsets nothing: it is how people "unset" variables in unit files.
            Ok(Value::Unset) => {}
            Ok(value) => self.values.set(key.path, value, origin),
            Err(Mismatch { found, expected }) => {
                self.problems.push(Problem::Value { origin, key: key.path, found, expected });
            }
        }
    }
}

fn unknown_variable(name: &str) -> String {
    let variables: Vec<String> = KEYS.iter().map(Key::variable).collect();
    match nearest(name, variables.iter().map(String::as_str)) {
        Some(known) => format!("environment variable {name} is not known and was ignored; did you mean {known}?"),
        None => format!("environment variable {name} is not known and was ignored"),
    }
}

/// Lines count from 1.
fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests;
