//! `POST /v1/chat/completions`: the dialogue.

use crate::ApiError;
use crate::fields::{Fields, wrong_type};
use exo_types::{ChatMessage, Role, ToolCall};
use serde_json::Value;

/// More turns than any context holds.
const MESSAGES: usize = 4_096;
/// More calls than a turn has use for.
const CALLS: usize = 128;

pub(super) fn messages(fields: &mut Fields) -> Result<Vec<ChatMessage>, ApiError> {
    let items = match fields.required("messages")? {
        Value::Array(items) => items,
        other => return Err(wrong_type("messages", "a list", &other)),
    };
    if items.is_empty() || items.len() > MESSAGES {
        let message = format!("`messages` has {} entries, but must have from 1 to {MESSAGES}", items.len());
        return Err(ApiError::field("messages", "invalid_value", message));
    }
    items.into_iter().enumerate().map(|(index, item)| message(index, item)).collect()
}

fn message(index: usize, item: Value) -> Result<ChatMessage, ApiError> {
    let mut fields = Fields::new(item, format!("messages.{index}"))?;
    let role = role(&mut fields)?;
    for name in ["function_call", "audio"] {
        let path = fields.path_of(name);
        if fields.take(name).is_some() {
            return Err(ApiError::field(&*path, "unsupported_parameter", format!("`{path}` is not supported")));
        }
    }
    let tool_calls = tool_calls(role, &mut fields)?;
    let path = fields.path_of("content");
    let content = match tool_calls.is_empty() {
        // Whoever calls need not say anything.
        false => fields.take("content").map_or_else(|| Ok(String::new()), |value| content(&path, value))?,
        true => content(&path, fields.required("content")?)?,
    };
    let tool_call_id = match role {
        Role::Tool => fields.text("tool_call_id")?,
        _ => None,
    };
    let reasoning = match role {
        Role::Assistant => fields.text("reasoning_content")?.or(fields.text("reasoning")?),
        _ => None,
    };
    let name = fields.text("name")?;
    // Other fields of a message (`refusal`, `annotations`) come back from clients that replay answers.
    Ok(ChatMessage { role, content, reasoning, tool_calls, tool_call_id, name })
}

/// The calls of an earlier answer. Their arguments are what a model wrote: anything.
fn tool_calls(role: Role, fields: &mut Fields) -> Result<Vec<ToolCall>, ApiError> {
    let path = fields.path_of("tool_calls");
    let items = fields.array("tool_calls")?.unwrap_or_default();
    if items.len() > CALLS || (role != Role::Assistant && !items.is_empty()) {
        let message =
            format!("`{path}` has {} entries; only turns of the assistant have some, at most {CALLS}", items.len());
        return Err(ApiError::field(path, "invalid_value", message));
    }
    let call = |(index, item): (usize, Value)| {
        let mut call = Fields::new(item, format!("{path}.{index}"))?;
        let id = call.text("id")?.unwrap_or_default();
        let inner = call.path_of("function");
        let mut function = Fields::new(call.required("function")?, inner)?;
        let name = function.required_text("name")?;
        let arguments = match function.take("arguments") {
            None => "{}".to_owned(),
            Some(Value::String(text)) => text,
            // Some clients send the object itself.
            Some(value @ Value::Object(_)) => value.to_string(),
            Some(other) => return Err(wrong_type(&function.path_of("arguments"), "a string", &other)),
        };
        Ok(ToolCall { id, name, arguments })
    };
    items.into_iter().enumerate().map(call).collect()
}

fn role(fields: &mut Fields) -> Result<Role, ApiError> {
    match fields.required_text("role")?.as_str() {
        "system" | "developer" => Ok(Role::System),
        "user" => Ok(Role::User),
        "assistant" => Ok(Role::Assistant),
        "tool" | "function" => Ok(Role::Tool),
        _ => {
            let path = fields.path_of("role");
            let message = format!("`{path}` must be one of system, developer, user, assistant, tool");
            Err(ApiError::field(path, "invalid_value", message))
        }
    }
}

/// A text, or a list of text parts, which are joined.
fn content(path: &str, value: Value) -> Result<String, ApiError> {
    let parts = match value {
        Value::String(text) => return Ok(text),
        Value::Array(parts) => parts,
        other => return Err(wrong_type(path, "a string or a list of text parts", &other)),
    };
    let mut content = String::new();
    for (index, part) in parts.into_iter().enumerate() {
        let mut fields = Fields::new(part, format!("{path}.{index}"))?;
        if fields.required_text("type")? != "text" {
            let path = fields.path_of("type");
            let message = format!("`{path}`: only parts of type \"text\" are supported");
            return Err(ApiError::field(path, "unsupported_parameter", message));
        }
        content.push_str(&fields.required_text("text")?);
    }
    Ok(content)
}
