//! `POST /v1/chat/completions`: the request.

use super::messages::messages;
use super::{format, tools};
use crate::ApiError;
use crate::fields::{Fields, parse};
use crate::text_request::{self, TextRequest, WITHOUT_EFFECT};
use exo_types::{Prompt, ReplyOptions};
use serde_json::Value;

/// Most likely tokens that are told beside the chosen one: OpenAI's own limit.
const TOP_LOGPROBS: i64 = 20;

/// Reads and checks a body. Refusals name the field.
pub fn parse_chat_request(body: &[u8]) -> Result<TextRequest, ApiError> {
    let mut fields = parse(body)?;
    for name in WITHOUT_EFFECT {
        fields.take(name);
    }
    refuse_unsupported(&mut fields)?;
    let model = text_request::model(&mut fields)?;
    let messages = messages(&mut fields)?;
    let stream = fields.flag("stream")?;
    let include_usage = text_request::stream_options(&mut fields, stream)?;
    let max_tokens = text_request::max_tokens(&mut fields)?;
    let stop = text_request::stop(&mut fields)?;
    let mut sampling = text_request::sampling(&mut fields)?;
    sampling.logprobs = logprobs(&mut fields)?;
    let reply = reply(&mut fields)?;
    let (turn, tier) = text_request::turn(&mut fields)?;
    fields.finish()?;
    let prompt = Prompt::Chat(messages);
    Ok(TextRequest { model, stream, include_usage, prompt, sampling, max_tokens, stop, reply, turn, tier })
}

/// What would change the answer and cannot be had yet. Values that ask for nothing special pass.
fn refuse_unsupported(fields: &mut Fields) -> Result<(), ApiError> {
    let is_empty = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
    let is_one_of = |value: &Value, words: &[&str]| value.as_str().is_some_and(|word| words.contains(&word));
    type Harmless<'a> = &'a dyn Fn(&Value) -> bool;
    let table: [(&str, Harmless<'_>); 9] = [
        ("n", &|value| value.as_u64() == Some(1)),
        ("functions", &is_empty),
        ("function_call", &|value| is_one_of(value, &["none", "auto"])),
        ("modalities", &|value| {
            value.as_array().is_some_and(|items| items.iter().all(|item| is_one_of(item, &["text"])))
        }),
        ("audio", &|_| false),
        ("prediction", &|_| false),
        ("verbosity", &|value| is_one_of(value, &["medium"])),
        ("web_search_options", &|_| false),
        ("best_of", &|value| value.as_u64() == Some(1)),
    ];
    for (name, is_harmless) in table {
        if fields.take(name).is_some_and(|value| !is_harmless(&value)) {
            let message = match name {
                "n" => "`n` must be 1: send the request several times for several answers".to_owned(),
                "functions" | "function_call" => format!("`{name}` is not supported; use `tools` and `tool_choice`"),
                _ => format!("`{name}` is not supported; leave it out"),
            };
            return Err(ApiError::field(name, "unsupported_parameter", message));
        }
    }
    Ok(())
}

fn logprobs(fields: &mut Fields) -> Result<Option<u32>, ApiError> {
    let wanted = fields.flag("logprobs")?;
    let top = fields.integer("top_logprobs", 0, TOP_LOGPROBS)?;
    match (wanted, top) {
        (false, Some(1..)) => {
            let message = "`top_logprobs` is only allowed where `logprobs` is true";
            Err(ApiError::field("top_logprobs", "invalid_value", message))
        }
        (false, _) => Ok(None),
        (true, top) => Ok(top.map_or(Some(0), |top| u32::try_from(top).ok())),
    }
}

fn reply(fields: &mut Fields) -> Result<ReplyOptions, ApiError> {
    let (tools, tool_choice, one_call) = tools::tools(fields)?;
    let constraint = format::response_format(fields)?;
    let (reasoning_effort, enable_thinking) = reasoning(fields)?;
    if constraint.is_some() && tool_choice != exo_types::ToolChoice::Auto {
        let message = "`tool_choice` asks for a call and `response_format` for text; leave one of them out";
        return Err(ApiError::field("response_format", "invalid_value", message));
    }
    Ok(ReplyOptions { tools, tool_choice, one_call, constraint, enable_thinking, reasoning_effort, embedding: None })
}

/// Words for how much a model reasons.
const EFFORTS: [&str; 6] = ["none", "minimal", "low", "medium", "high", "xhigh"];

/// How much the model reasons, and whether at all. One follows from the other where only one is said.
fn reasoning(fields: &mut Fields) -> Result<(Option<String>, Option<bool>), ApiError> {
    let effort = fields.text("reasoning_effort")?;
    if let Some(effort) = &effort
        && !EFFORTS.contains(&effort.as_str())
    {
        let message = format!("`reasoning_effort` must be one of {}", EFFORTS.join(", "));
        return Err(ApiError::field("reasoning_effort", "invalid_value", message));
    }
    let mut enable = fields.boolean("enable_thinking")?;
    if let Some(value) = fields.take("chat_template_kwargs") {
        let mut arguments = Fields::new(value, "chat_template_kwargs".to_owned())?;
        enable = arguments.boolean("enable_thinking")?.or(enable);
        arguments.finish()?;
    }
    Ok(match (effort, enable) {
        (None, Some(true)) => (Some("medium".to_owned()), Some(true)),
        (None, Some(false)) => (Some("none".to_owned()), Some(false)),
        (Some(effort), None) => {
            let thinks = effort != "none";
            (Some(effort), Some(thinks))
        }
        both => both,
    })
}

#[cfg(test)]
mod tests;
