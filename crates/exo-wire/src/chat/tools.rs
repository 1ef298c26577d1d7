//! `POST /v1/chat/completions`: tools that the model may call.

use crate::ApiError;
use crate::fields::{Fields, wrong_type};
use exo_types::{Tool, ToolChoice};
use serde_json::Value;

/// OpenAI's own limit.
const TOOLS: usize = 128;
/// OpenAI's own limit.
const NAME_BYTES: usize = 64;
/// Bytes of all schemas together: they are read by the model, so more would fill its context many times over.
const SCHEMA_BYTES: usize = 256 << 10;

/// The tools, whether one has to be called, and whether one at most.
pub(super) fn tools(fields: &mut Fields) -> Result<(Vec<Tool>, ToolChoice, bool), ApiError> {
    let items = fields.array("tools")?.unwrap_or_default();
    if items.len() > TOOLS {
        let message = format!("`tools` has {} entries, at most {TOOLS} are allowed", items.len());
        return Err(ApiError::field("tools", "invalid_value", message));
    }
    let tools = items.into_iter().enumerate().map(|(index, item)| tool(index, item)).collect::<Result<Vec<_>, _>>()?;
    let bytes: usize = tools.iter().filter_map(|tool| tool.parameters.as_ref()).map(String::len).sum();
    if bytes > SCHEMA_BYTES {
        let message = format!("the parameters of `tools` have {bytes} bytes, at most {SCHEMA_BYTES} are allowed");
        return Err(ApiError::field("tools", "invalid_value", message));
    }
    let one_call = !fields.boolean("parallel_tool_calls")?.unwrap_or(true);
    match fields.take("tool_choice").map(|value| choice(value, &tools)).transpose()? {
        None => Ok((tools, ToolChoice::Auto, one_call)),
        Some(Some(choice)) => Ok((tools, choice, one_call)),
        Some(None) => Ok((Vec::new(), ToolChoice::Auto, one_call)),
    }
}

fn tool(index: usize, item: Value) -> Result<Tool, ApiError> {
    let mut fields = Fields::new(item, format!("tools.{index}"))?;
    let path = fields.path_of("type");
    if fields.text("type")?.is_some_and(|kind| kind != "function") {
        let message = format!("`{path}`: only tools of type \"function\" are supported");
        return Err(ApiError::field(path, "unsupported_parameter", message));
    }
    let path = fields.path_of("function");
    let mut function = Fields::new(fields.required("function")?, path)?;
    let path = function.path_of("name");
    let name = function.required_text("name")?;
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.');
    if name.is_empty() || name.len() > NAME_BYTES || !name.chars().all(is_letter) {
        let message = format!("`{path}` must have from 1 to {NAME_BYTES} letters, digits, `_`, `-` or `.`");
        return Err(ApiError::field(path, "invalid_value", message));
    }
    let description = function.text("description")?;
    let parameters = match function.take("parameters") {
        None => None,
        Some(schema @ Value::Object(_)) => Some(schema.to_string()),
        Some(other) => return Err(wrong_type(&function.path_of("parameters"), "a JSON schema", &other)),
    };
    function.flag("strict")?;
    Ok(Tool { name, description, parameters })
}

/// None if no tool may be called.
fn choice(value: Value, tools: &[Tool]) -> Result<Option<ToolChoice>, ApiError> {
    let refused = |message: String| ApiError::field("tool_choice", "invalid_value", message);
    let choice = match value {
        Value::String(word) => match word.as_str() {
            "none" => return Ok(None),
            "auto" => return Ok(Some(ToolChoice::Auto)),
            "required" => ToolChoice::Required,
            _ => return Err(refused("`tool_choice` must be none, auto, required, or a function".to_owned())),
        },
        Value::Object(_) => {
            let mut fields = Fields::new(value, "tool_choice".to_owned())?;
            let mut function = Fields::new(fields.required("function")?, "tool_choice.function".to_owned())?;
            ToolChoice::Named(function.required_text("name")?)
        }
        other => return Err(wrong_type("tool_choice", "a string or an object", &other)),
    };
    match &choice {
        ToolChoice::Named(name) if !tools.iter().any(|tool| tool.name == *name) => {
            Err(refused("`tool_choice` names a function that is not among `tools`".to_owned()))
        }
        _ if tools.is_empty() => Err(refused("`tool_choice` asks for a call, but `tools` has none".to_owned())),
        _ => Ok(Some(choice)),
    }
}
