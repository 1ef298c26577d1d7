//! A checked value.

use crate::quantity::{print_duration, print_memory};
use exo_types::Memory;
use std::fmt;
use std::time::Duration;

/// What a key is set to; its variant follows from the key's [`Kind`](crate::Kind).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Unset,
    Flag(bool),
    Number(u64),
    Text(String),
    Texts(Vec<String>),
    Duration(Duration),
    Memory(Memory),
    Ports(u16, u16),
}

/// As TOML.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unset => f.write_str("(not set)"),
            Self::Flag(flag) => flag.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(&quote(text)),
            Self::Texts(texts) => {
                let quoted: Vec<String> = texts.iter().map(|text| quote(text)).collect();
                write!(f, "[{}]", quoted.join(", "))
            }
            Self::Duration(duration) => f.write_str(&quote(&print_duration(*duration))),
            Self::Memory(memory) => f.write_str(&quote(&print_memory(*memory))),
            Self::Ports(first, last) => write!(f, "[{first}, {last}]"),
        }
    }
}

fn quote(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
