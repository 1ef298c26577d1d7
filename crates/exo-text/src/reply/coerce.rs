//! Arguments of a call, brought into the types of its tool's schema.
//!
//! Models write `"5"` for 5 and `True` for true. What has an obvious reading in the schema's type gets it; everything
//! else stays as it was, for the client to judge.

use serde_json::{Map, Value};

/// `value` as `schema` wants it, where that is plain.
pub(super) fn coerce(value: Value, schema: &Value) -> Value {
    match schema.get("type") {
        Some(Value::String(kind)) => to_type(value, kind, schema),
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).fold(value, |value, kind| {
            if is_of_some(&value, kinds) { to_children(value, schema) } else { to_type(value, kind, schema) }
        }),
        _ => to_children(value, schema),
    }
}

fn to_type(value: Value, kind: &str, schema: &Value) -> Value {
    let read = match (kind, &value) {
        ("integer", Value::Number(number)) => number.as_f64().and_then(whole),
        ("integer", Value::String(text)) => text.parse::<i64>().map(Value::from).ok().or_else(|| whole(finite(text)?)),
        ("number", Value::String(text)) => {
            text.parse::<i64>().map(Value::from).ok().or_else(|| finite(text).map(Value::from))
        }
        ("boolean", Value::String(text)) => text.to_ascii_lowercase().parse::<bool>().ok().map(Value::from),
        ("array", Value::String(text)) => serde_json::from_str(text).ok().filter(Value::is_array),
        ("object", Value::String(text)) => serde_json::from_str(text).ok().filter(Value::is_object),
        _ => None,
    };
    to_children(read.unwrap_or(value), schema)
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
