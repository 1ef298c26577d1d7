//! From text and TOML to checked values.

use crate::Kind;
use crate::nearest::nearest;
use crate::quantity::{parse_duration, parse_memory, print_duration, print_memory};
use crate::value::Value;
use exo_types::{Memory, ModelId};
use std::net::IpAddr;
use std::time::Duration;
use toml::de::{DeInteger, DeValue};

/// Why a value was refused: what stands there, what may stand there.
pub(crate) struct Mismatch {
    pub(crate) found: String,
    pub(crate) expected: String,
}

/// Longest text that makes sense in a configuration, in bytes.
const TEXT_LIMIT: usize = 4_096;

/// Reads a value as it stands in the environment or on the command line. Empty means "not set".
pub(crate) fn from_text(kind: Kind, text: &str) -> Result<Value, Mismatch> {
    let parts = |separator: char| -> Vec<String> {
        text.split(separator).map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
    };
    match kind {
        Kind::Texts | Kind::Addresses | Kind::ModelIds => texts(kind, parts(',')),
        Kind::Paths => texts(kind, parts(':')),
        _ if text.is_empty() => Ok(Value::Unset),
        Kind::Flag => match text {
            "true" | "1" => Ok(Value::Flag(true)),
            "false" | "0" => Ok(Value::Flag(false)),
            _ => Err(mismatch(kind, text)),
        },
        Kind::Number(..) | Kind::Port => match text.parse() {
            Ok(value) => number(kind, value),
            Err(_) => Err(mismatch(kind, text)),
        },
        Kind::Ports => {
            let range = text.split_once('-').and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
            range.map_or_else(|| Err(mismatch(kind, text)), |(first, last)| ports(kind, first, last))
        }
        _ => one_text(kind, text),
    }
}

/// Reads a value as it stands in the file.
pub(crate) fn from_toml(kind: Kind, value: &DeValue<'_>) -> Result<Value, Mismatch> {
    match (kind, value) {
        (Kind::Flag, DeValue::Boolean(flag)) => Ok(Value::Flag(*flag)),
        (Kind::Number(..) | Kind::Port, DeValue::Integer(integer)) => {
            whole(integer).map_or_else(|| Err(mismatch(kind, integer.as_str())), |value| number(kind, value))
        }
        (Kind::Memory(..), DeValue::Integer(integer)) => match whole(integer) {
            Some(bytes) => one_text(kind, &format!("{bytes} B")),
            None => Err(mismatch(kind, integer.as_str())),
        },
        (Kind::Ports, DeValue::Array(items)) => {
            let port = |index: usize| whole(items.get(index)?.get_ref().as_integer()?);
            match (items.len(), port(0), port(1)) {
                (2, Some(first), Some(last)) => ports(kind, first, last),
                _ => Err(Mismatch { found: "another list".to_owned(), expected: expected(kind) }),
            }
        }
        (Kind::Texts | Kind::Addresses | Kind::Paths | Kind::ModelIds, DeValue::Array(items)) => {
            let strings: Option<Vec<String>> =
                items.iter().map(|item| item.get_ref().as_str().map(str::to_owned)).collect();
            let not_text =
                || Mismatch { found: "a list with other things than texts".to_owned(), expected: expected(kind) };
            texts(kind, strings.ok_or_else(not_text)?)
        }
        (
            Kind::Choice(_) | Kind::Text | Kind::Path | Kind::Address | Kind::Duration(..) | Kind::Memory(..),
            DeValue::String(text),
        ) => one_text(kind, text),
        (_, other) => Err(Mismatch { found: format!("of type {}", other.type_str()), expected: expected(kind) }),
    }
}

/// An integer in the notation that it has: `0x10` is 16.
fn whole(integer: &DeInteger<'_>) -> Option<u64> {
    u64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// The words for what a kind allows.
pub(crate) fn expected(kind: Kind) -> String {
    let millis = |value| print_duration(Duration::from_millis(value));
    let bytes = |value| print_memory(Memory::bytes(value));
    match kind {
        Kind::Flag => "true or false".to_owned(),
        Kind::Number(low, high) => format!("a whole number from {low} to {high}"),
        Kind::Port => "a port from 0 to 65535 (0: any free one)".to_owned(),
        Kind::Ports => "two ports from 1 to 65535, first and last, as `[52420, 52499]`".to_owned(),
        Kind::Choice(words) => {
            let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
            format!("one of {}", quoted.join(", "))
        }
        Kind::Text => "a text on one line".to_owned(),
        Kind::Path => "an absolute path".to_owned(),
        Kind::Address => "an IP address such as \"127.0.0.1\" or \"::1\"".to_owned(),
        Kind::Duration(low, high) => {
            format!("a duration from {} to {}, such as \"250ms\", \"10s\", \"10m\", \"1h\"", millis(low), millis(high))
        }
        Kind::Memory(low, high) => {
            format!("an amount of memory from {} to {}, such as \"512 MiB\"", bytes(low), bytes(high))
        }
        Kind::Texts => "a list of texts, each on one line".to_owned(),
        Kind::Addresses => "a list of IP addresses".to_owned(),
        Kind::Paths => "a list of absolute paths".to_owned(),
        Kind::ModelIds => "a list of model ids (ASCII letters, digits and . _ - / :)".to_owned(),
    }
}

fn mismatch(kind: Kind, found: &str) -> Mismatch {
    let shown: String = found.chars().take(80).collect();
    let mut expected = expected(kind);
    if let Kind::Choice(words) = kind
        && let Some(word) = nearest(found, words.iter().copied())
    {
        expected.push_str(&format!("; did you mean \"{word}\"?"));
    }
    Mismatch { found: format!("{shown:?}"), expected }
}

fn number(kind: Kind, value: u64) -> Result<Value, Mismatch> {
    let (low, high) = match kind {
        Kind::Number(low, high) => (low, high),
        _ => (0, u64::from(u16::MAX)),
    };
    match (low..=high).contains(&value) {
        true => Ok(Value::Number(value)),
        false => Err(Mismatch { found: value.to_string(), expected: expected(kind) }),
    }
}

fn ports(kind: Kind, first: u64, last: u64) -> Result<Value, Mismatch> {
    match (u16::try_from(first), u16::try_from(last)) {
        (Ok(first), Ok(last)) if 0 < first && first <= last => Ok(Value::Ports(first, last)),
        _ => Err(Mismatch { found: format!("[{first}, {last}]"), expected: expected(kind) }),
    }
}

fn texts(kind: Kind, texts: Vec<String>) -> Result<Value, Mismatch> {
    let item = match kind {
        Kind::Addresses => Kind::Address,
        Kind::Paths => Kind::Path,
        other => other,
    };
    for text in &texts {
        let good = match item {
            Kind::ModelIds => ModelId::new(text.as_str()).is_ok(),
            Kind::Texts => is_line(text),
            other => one_text(other, text).is_ok(),
        };
        if !good {
            return Err(mismatch(kind, text));
        }
    }
    Ok(Value::Texts(texts))
}

fn one_text(kind: Kind, text: &str) -> Result<Value, Mismatch> {
    let value = match kind {
        Kind::Choice(words) => words.contains(&text).then(|| Value::Text(text.to_owned())),
        Kind::Text => is_line(text).then(|| Value::Text(text.to_owned())),
        Kind::Path => (is_line(text) && text.starts_with('/')).then(|| Value::Text(text.to_owned())),
        Kind::Address => text.parse::<IpAddr>().ok().map(|address| Value::Text(address.to_string())),
        Kind::Duration(low, high) => parse_duration(text)
            .filter(|duration| (u128::from(low)..=u128::from(high)).contains(&duration.as_millis()))
            .map(Value::Duration),
        Kind::Memory(low, high) => {
            parse_memory(text).filter(|memory| (low..=high).contains(&memory.in_bytes)).map(Value::Memory)
        }
        _ => None,
    };
    value.ok_or_else(|| mismatch(kind, text))
}

fn is_line(text: &str) -> bool {
    !text.is_empty() && text.len() <= TEXT_LIMIT && !text.chars().any(char::is_control)
}
