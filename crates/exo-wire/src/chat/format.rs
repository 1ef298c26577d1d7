//! `POST /v1/chat/completions`: what the answer has to look like.

use crate::ApiError;
use crate::fields::{Fields, wrong_type};
use exo_types::Constraint;
use serde_json::Value;

/// Bytes of a schema. The runner bounds what comes of it.
const SCHEMA_BYTES: usize = 256 << 10;
/// Bytes of a regular expression or a Lark grammar.
const GRAMMAR_BYTES: usize = 32 << 10;

/// OpenAI's `text`, `json_object` and `json_schema`; and `grammar`, in the words of OpenAI's custom tools.
pub(super) fn response_format(fields: &mut Fields) -> Result<Option<Constraint>, ApiError> {
    let Some(value) = fields.take("response_format") else { return Ok(None) };
    let mut format = Fields::new(value, "response_format".to_owned())?;
    let constraint = match format.required_text("type")?.as_str() {
        "text" => None,
        "json_object" => Some(Constraint::JsonObject),
        "json_schema" => Some(json_schema(&mut format)?),
        "grammar" => Some(grammar(&mut format)?),
        _ => {
            let message = "`response_format.type` must be one of text, json_object, json_schema, grammar";
            return Err(ApiError::field("response_format.type", "invalid_value", message));
        }
    };
    format.finish()?;
    Ok(constraint)
}

fn json_schema(format: &mut Fields) -> Result<Constraint, ApiError> {
    let path = format.path_of("json_schema");
    let mut fields = Fields::new(format.required("json_schema")?, path)?;
    fields.text("name")?;
    fields.text("description")?;
    let strict = fields.flag("strict")?;
    let path = fields.path_of("schema");
    let schema = match fields.required("schema")? {
        schema @ Value::Object(_) => schema.to_string(),
        other => return Err(wrong_type(&path, "a JSON schema", &other)),
    };
    fields.finish()?;
    check_size(&path, schema.len(), SCHEMA_BYTES)?;
    Ok(Constraint::JsonSchema { schema, strict })
}

fn grammar(format: &mut Fields) -> Result<Constraint, ApiError> {
    let definition = format.required_text("definition")?;
    check_size(&format.path_of("definition"), definition.len(), GRAMMAR_BYTES)?;
    match format.required_text("syntax")?.as_str() {
        "regex" => Ok(Constraint::Regex(definition)),
        "lark" => Ok(Constraint::Lark(definition)),
        _ => {
            let message = "`response_format.syntax` must be lark or regex";
            Err(ApiError::field("response_format.syntax", "invalid_value", message))
        }
    }
}

fn check_size(path: &str, bytes: usize, limit: usize) -> Result<(), ApiError> {
    if bytes <= limit {
        return Ok(());
    }
    let message = format!("`{path}` has {bytes} bytes, at most {limit} are allowed");
    Err(ApiError::field(path, "invalid_value", message))
}
