//! The value of every key, with its origin.

use super::{Origin, Surroundings};
use crate::key::KEYS;
use crate::read::from_text;
use crate::value::Value;
use exo_types::Memory;
use std::collections::BTreeMap;
use std::time::Duration;

/// One value for every key of the table. Reading one by a kind that it is not is a defect of this crate.
#[derive(Debug, Clone)]
pub(crate) struct Values(BTreeMap<&'static str, (Value, Origin)>);

impl Values {
    pub(crate) fn defaults(surroundings: &Surroundings) -> Self {
        let default = |key: &crate::Key| match (key.path, from_text(key.kind, key.default)) {
            ("name", _) => Value::Text(surroundings.host_name.clone()),
            ("dataDir", _) => Value::Text(surroundings.data_dir.clone()),
            (_, Ok(value)) => value,
            (path, Err(_)) => unreachable!("the default of {path} is a value of its kind"),
        };
        Self(KEYS.iter().map(|key| (key.path, (default(key), Origin::Default))).collect())
    }

    pub(crate) fn set(&mut self, path: &'static str, value: Value, origin: Origin) {
        self.0.insert(path, (value, origin));
    }

    pub(crate) fn get(&self, path: &str) -> &(Value, Origin) {
        self.0.get(path).expect("every key of the table has a value")
    }

    pub(crate) fn flag(&self, path: &str) -> bool {
        match self.get(path).0 {
            Value::Flag(flag) => flag,
            ref other => unreachable!("{path} is no flag but {other:?}"),
        }
    }

    /// The table bounds the number, so that it fits.
    pub(crate) fn number<T: TryFrom<u64>>(&self, path: &str) -> T {
        match self.get(path).0 {
            Value::Number(number) => T::try_from(number).ok().expect("the bounds in the table fit the field"),
            ref other => unreachable!("{path} is no number but {other:?}"),
        }
    }

    pub(crate) fn duration(&self, path: &str) -> Duration {
        match self.get(path).0 {
            Value::Duration(duration) => duration,
            ref other => unreachable!("{path} is no duration but {other:?}"),
        }
    }

    pub(crate) fn memory(&self, path: &str) -> Memory {
        match self.get(path).0 {
            Value::Memory(memory) => memory,
            ref other => unreachable!("{path} is no amount of memory but {other:?}"),
        }
    }

    pub(crate) fn optional_memory(&self, path: &str) -> Option<Memory> {
        match self.get(path).0 {
            Value::Memory(memory) => Some(memory),
            _ => None,
        }
    }

    pub(crate) fn ports(&self, path: &str) -> (u16, u16) {
        match self.get(path).0 {
            Value::Ports(first, last) => (first, last),
            ref other => unreachable!("{path} is no range of ports but {other:?}"),
        }
    }

    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        match &self.get(path).0 {
            Value::Text(text) => Some(text),
            Value::Unset => None,
            other => unreachable!("{path} is no text but {other:?}"),
        }
    }

    pub(crate) fn texts(&self, path: &str) -> &[String] {
        match &self.get(path).0 {
            Value::Texts(texts) => texts,
            other => unreachable!("{path} is no list but {other:?}"),
        }
    }
}
