//! Arguments of a call, brought into the types of its tool's schema.
//!
//! Models write `"5"` for 5 and `True` for true. What has an obvious reading in the schema's type gets it; everything
//! else stays as it was, for the client to judge.

use serde_json::{Map, Value};

/// `value` as `schema` wants it, where that is plain. Each part of it is looked at once: with a second look for every kind
/// that a part may have, the work would double with every level.
pub(super) fn coerce(value: Value, schema: &Value) -> Value {
    let read = match schema.get("type") {
        Some(Value::String(kind)) => read_as(kind, &value),
        Some(Value::Array(kinds)) if !is_of_some(&value, kinds) => {
            kinds.iter().filter_map(Value::as_str).find_map(|kind| read_as(kind, &value))
        }
        _ => None,
    };
    to_children(read.unwrap_or(value), schema)
}

/// The obvious reading as a type, where there is one.
fn read_as(kind: &str, value: &Value) -> Option<Value> {
    match (kind, value) {
        ("integer", Value::Number(number)) => number.as_f64().and_then(whole),
        ("integer", Value::String(text)) => text.parse::<i64>().map(Value::from).ok().or_else(|| whole(finite(text)?)),
        ("number", Value::String(text)) => {
            text.parse::<i64>().map(Value::from).ok().or_else(|| finite(text).map(Value::from))
        }
        ("boolean", Value::String(text)) => text.to_ascii_lowercase().parse::<bool>().ok().map(Value::from),
        ("array", Value::String(text)) => serde_json::from_str(text).ok().filter(Value::is_array),
        ("object", Value::String(text)) => serde_json::from_str(text).ok().filter(Value::is_object),
        _ => None,
    }
}

fn is_of_some(value: &Value, kinds: &[Value]) -> bool {
    kinds.iter().filter_map(Value::as_str).any(|kind| match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    })
}

fn to_children(value: Value, schema: &Value) -> Value {
    match value {
        Value::Array(items) => match schema.get("items") {
            Some(of_item) => items.into_iter().map(|item| coerce(item, of_item)).collect(),
            None => Value::Array(items),
        },
        Value::Object(fields) => Value::Object(to_properties(fields, schema)),
        other => other,
    }
}

/// The arguments of a call, field by field.
pub(super) fn to_properties(fields: Map<String, Value>, schema: &Value) -> Map<String, Value> {
    let of_field = |name: &str| schema.get("properties")?.get(name);
    let field = |(name, value): (String, Value)| match of_field(&name) {
        Some(of_field) => (name, coerce(value, of_field)),
        None => (name, value),
    };
    fields.into_iter().map(field).collect()
}

fn finite(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|number| number.is_finite())
}

/// A whole number that a float holds exactly.
fn whole(number: f64) -> Option<Value> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    (number.fract() == 0.0 && number.abs() <= EXACT).then(|| Value::from(number as i64))
}
