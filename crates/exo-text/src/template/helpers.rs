//! Functions that chat templates expect beside the language itself.

use std::sync::Arc;

use minijinja::{Environment, Error, ErrorKind, Value, value::Kwargs};
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

use super::{
    MAX_RENDERED_BYTES, charge,
    limits::{Budget, Cause, LimitedWriter},
};

/// Seconds since 1970 in UTC; given by the caller because this crate knows no clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UnixSeconds(pub i64);

pub(super) fn install(environment: &mut Environment<'static>, budget: &Budget, now: UnixSeconds) {
    environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(Cause::Raised(message).into())
    });
    environment.add_function("strftime_now", move |format: &str| strftime(now, format));
    let budget = Arc::clone(budget);
    environment.add_filter("tojson", move |value: Value, options: Kwargs| {
        charge(&budget, &value)?;
        to_json(&value, &options)
    });
}

fn strftime(now: UnixSeconds, format: &str) -> Result<String, Error> {
    let broken = |error: jiff::Error| Error::new(ErrorKind::InvalidOperation, error.to_string());
    let time = jiff::Timestamp::from_second(now.0).map_err(broken)?.to_zoned(jiff::tz::TimeZone::UTC);
    jiff::fmt::strtime::format(format, &time).map_err(broken)
}

/// Writes JSON as Python's `json.dumps` does: no HTML escapes, a space after commas and colons.
fn to_json(value: &Value, options: &Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = options.get("indent")?;
    let _ensure_ascii: Option<bool> = options.get("ensure_ascii")?;
    options.assert_all_used()?;
    let mut output = LimitedWriter::new(MAX_RENDERED_BYTES);
    let written = match indent {
        Some(width) => {
            let spaces = " ".repeat(width.min(16));
            let formatter = PrettyFormatter::with_indent(spaces.as_bytes());
            value.serialize(&mut Serializer::with_formatter(&mut output, formatter))
        }
        None => value.serialize(&mut Serializer::with_formatter(&mut output, SpacedFormatter)),
    };
    written.map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))?;
    Ok(Value::from(String::from_utf8_lossy(&output.into_bytes()).into_owned()))
}

struct SpacedFormatter;

impl Formatter for SpacedFormatter {
    fn begin_array_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}
