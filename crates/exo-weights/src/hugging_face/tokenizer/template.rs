//! The chat template.

use std::path::Path;

use serde_json::Value;

use super::super::json::{self, Object};
use super::unsupported;
use crate::error::DirectoryProblem;

const FILE: &str = "chat_template.jinja";

/// The template in a file of its own, or in the settings: one, or several of which one is the default.
pub(super) fn read(folder: &Path, settings: &Object<'_>) -> Result<Option<String>, DirectoryProblem> {
    if let Some(bytes) = json::opt_bytes(folder, FILE)? {
        let text = String::from_utf8(bytes).map_err(|_| unsupported(format!("a {FILE} that is not UTF-8")))?;
        return Ok(Some(text));
    }
    match settings.get("chat_template") {
        None => Ok(None),
        Some(Value::String(template)) => Ok(Some(template.clone())),
        Some(Value::Array(templates)) => Ok(default_of(templates)),
        Some(_) => Err(settings.wrong("chat_template", "a text or a list")),
    }
}

fn default_of(templates: &[Value]) -> Option<String> {
    let named = templates.iter().find(|template| template.get("name").and_then(Value::as_str) == Some("default"));
    named.or_else(|| templates.first())?.get("template")?.as_str().map(str::to_owned)
}
