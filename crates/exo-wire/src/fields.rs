//! Reads a JSON object field by field, so that every refusal names its field.

use crate::ApiError;
use serde_json::{Map, Value};

/// The fields of an object that are not read yet. `null` counts as absent, as in OpenAI's API.
pub(crate) struct Fields {
    map: Map<String, Value>,
    path: String,
}

/// Parses a body. serde_json refuses invalid UTF-8 in texts and more than 128 levels.
pub(crate) fn parse(body: &[u8]) -> Result<Fields, ApiError> {
    if let Err(error) = std::str::from_utf8(body) {
        let message = format!("the body is not UTF-8: byte {} does not fit", error.valid_up_to());
        return Err(ApiError::new(400, "invalid_utf8", message));
    }
    // Only the place is told: the parser's own words never quote the text either, but they may one day.
    let value: Value = serde_json::from_slice(body).map_err(|error| {
        let place = format!("line {} column {}", error.line(), error.column());
        ApiError::new(400, "invalid_json", format!("the body is not valid JSON at {place}: {}", category(&error)))
    })?;
    Fields::new(value, String::new())
}

fn category(error: &serde_json::Error) -> &'static str {
    match error.classify() {
        serde_json::error::Category::Eof => "it ends too early",
        _ => "it cannot be read, is nested deeper than 127 levels, or has a number out of range",
    }
}

impl Fields {
    pub(crate) fn new(value: Value, path: String) -> Result<Self, ApiError> {
        match value {
            Value::Object(map) => Ok(Self { map, path }),
            other => Err(wrong_type(&path, "an object", &other)),
        }
    }

    /// `messages.0.role`.
    pub(crate) fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        self.map.remove(name).filter(|value| !value.is_null())
    }

    pub(crate) fn required(&mut self, name: &str) -> Result<Value, ApiError> {
        let path = self.path_of(name);
        self.take(name).ok_or_else(|| ApiError::field(&*path, "missing_field", format!("`{path}` is missing")))
    }

    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong_type(&self.path_of(name), "a string", &other)),
        }
    }

    pub(crate) fn required_text(&mut self, name: &str) -> Result<String, ApiError> {
        let path = self.path_of(name);
        self.text(name)?.ok_or_else(|| ApiError::field(&*path, "missing_field", format!("`{path}` is missing")))
    }

    pub(crate) fn flag(&mut self, name: &str) -> Result<bool, ApiError> {
        Ok(self.boolean(name)?.unwrap_or(false))
    }

    pub(crate) fn boolean(&mut self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(other) => Err(wrong_type(&self.path_of(name), "true or false", &other)),
        }
    }

    pub(crate) fn array(&mut self, name: &str) -> Result<Option<Vec<Value>>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items)),
            Some(other) => Err(wrong_type(&self.path_of(name), "a list", &other)),
        }
    }

    /// A number between both bounds, included.
    pub(crate) fn number(&mut self, name: &str, low: f64, high: f64) -> Result<Option<f32>, ApiError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        number_in(&self.path_of(name), &value, low, high).map(Some)
    }

    /// A whole number between both bounds, included.
    pub(crate) fn integer(&mut self, name: &str, low: i64, high: i64) -> Result<Option<i64>, ApiError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let path = self.path_of(name);
        if !value.is_number() || value.is_f64() {
            return Err(wrong_type(&path, "a whole number", &value));
        }
        match value.as_i64().filter(|number| (low..=high).contains(number)) {
            Some(number) => Ok(Some(number)),
            None => Err(ApiError::field(
                &*path,
                "invalid_value",
                format!("`{path}` is {value}, but must be from {low} to {high}"),
            )),
        }
    }

    /// What is left: the first field that nobody knows.
    pub(crate) fn finish(self) -> Result<(), ApiError> {
        match self.map.keys().next() {
            None => Ok(()),
            Some(name) => {
                let shown: String = name.chars().take(64).collect();
                let path = self.path_of(&shown);
                Err(ApiError::field(&*path, "unknown_parameter", format!("`{path}` is not a known field")))
            }
        }
    }
}

pub(crate) fn number_in(path: &str, value: &Value, low: f64, high: f64) -> Result<f32, ApiError> {
    let Some(number) = value.as_f64() else { return Err(wrong_type(path, "a number", value)) };
    if !(low..=high).contains(&number) {
        let message = format!("`{path}` is {number}, but must be from {low} to {high}");
        return Err(ApiError::field(path, "invalid_value", message));
    }
    Ok(number as f32)
}

/// Names the types only; the value may be a prompt.
pub(crate) fn wrong_type(path: &str, expected: &str, found: &Value) -> ApiError {
    let found = match found {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number of another kind",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    match path {
        "" => ApiError::new(400, "invalid_type", format!("the body must be {expected}, but is {found}")),
        _ => ApiError::field(path, "invalid_type", format!("`{path}` must be {expected}, but is {found}")),
    }
}
