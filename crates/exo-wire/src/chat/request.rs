//! `POST /v1/chat/completions`: the request.

use crate::ApiError;
use crate::fields::{Fields, number_in, parse, wrong_type};
use exo_types::{ChatMessage, GenerateRequest, InstanceId, ModelId, Prompt, RequestId, Role, SamplingParams};
use serde_json::Value;
use std::collections::BTreeMap;

/// More turns than any context holds.
const MESSAGES: usize = 4_096;
/// OpenAI's own limit.
const STOPS: usize = 4;
/// A stop string is compared with every piece of the answer; longer ones are surely a mistake.
const STOP_BYTES: usize = 256;
/// OpenAI's own limit for the number of biased tokens.
const BIASES: usize = 1_024;

/// A chat request whose every field is in range.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatRequest {
    /// Which model.
    pub model: ModelId,
    /// Piece by piece, or at once.
    pub stream: bool,
    /// Whether a stream ends with what it cost.
    pub include_usage: bool,
    /// The dialogue.
    pub messages: Vec<ChatMessage>,
    /// How to choose.
    pub sampling: SamplingParams,
    /// At most so many tokens.
    pub max_tokens: Option<u32>,
    /// Stop before any of these.
    pub stop: Vec<String>,
}

impl ChatRequest {
    /// The request to the worker.
    pub fn generate(self, request_id: RequestId, instance_id: InstanceId, deadline_ms: u64) -> GenerateRequest {
        GenerateRequest {
            request_id,
            instance_id,
            prompt: Prompt::Chat(self.messages),
            sampling: self.sampling,
            max_tokens: self.max_tokens,
            stop: self.stop,
            deadline_ms,
        }
    }
}

/// Fields that change nothing about the answer: told for the provider's own books.
const WITHOUT_EFFECT: [&str; 7] =
    ["user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"];

/// Reads and checks a body. Refusals name the field.
pub fn parse_chat_request(body: &[u8]) -> Result<ChatRequest, ApiError> {
    let mut fields = parse(body)?;
    for name in WITHOUT_EFFECT {
        fields.take(name);
    }
    refuse_unsupported(&mut fields)?;
    let model = model(&mut fields)?;
    let messages = messages(&mut fields)?;
    let stream = fields.flag("stream")?;
    let include_usage = stream_options(&mut fields, stream)?;
    let max_tokens = max_tokens(&mut fields)?;
    let stop = stop(&mut fields)?;
    let sampling = sampling(&mut fields)?;
    fields.finish()?;
    Ok(ChatRequest { model, stream, include_usage, messages, sampling, max_tokens, stop })
}

fn model(fields: &mut Fields) -> Result<ModelId, ApiError> {
    let text = fields.required_text("model")?;
    ModelId::new(text).map_err(|error| ApiError::field("model", "invalid_value", error.to_string()))
}

/// What would change the answer and cannot be had yet. Values that ask for nothing special pass.
fn refuse_unsupported(fields: &mut Fields) -> Result<(), ApiError> {
    let is_empty = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
    let is_one_of = |value: &Value, words: &[&str]| value.as_str().is_some_and(|word| words.contains(&word));
    type Harmless<'a> = &'a dyn Fn(&Value) -> bool;
    let table: [(&str, Harmless<'_>); 16] = [
        ("n", &|value| value.as_u64() == Some(1)),
        ("tools", &is_empty),
        ("functions", &is_empty),
        ("tool_choice", &|value| is_one_of(value, &["none", "auto"])),
        ("function_call", &|value| is_one_of(value, &["none", "auto"])),
        ("parallel_tool_calls", &Value::is_boolean),
        ("response_format", &|value| value.get("type").and_then(Value::as_str) == Some("text")),
        ("logprobs", &|value| value.as_bool() == Some(false)),
        ("top_logprobs", &|value| value.as_u64() == Some(0)),
        ("modalities", &|value| {
            value.as_array().is_some_and(|items| items.iter().all(|item| is_one_of(item, &["text"])))
        }),
        ("audio", &|_| false),
        ("prediction", &|_| false),
        ("reasoning_effort", &|value| is_one_of(value, &["none"])),
        ("verbosity", &|value| is_one_of(value, &["medium"])),
        ("web_search_options", &|_| false),
        ("best_of", &|value| value.as_u64() == Some(1)),
    ];
    for (name, is_harmless) in table {
        if fields.take(name).is_some_and(|value| !is_harmless(&value)) {
            let message = match name {
                "n" => "`n` must be 1: send the request several times for several answers".to_owned(),
                _ => format!("`{name}` is not supported; leave it out"),
            };
            return Err(ApiError::field(name, "unsupported_parameter", message));
        }
    }
    Ok(())
}

fn messages(fields: &mut Fields) -> Result<Vec<ChatMessage>, ApiError> {
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
    for name in ["tool_calls", "function_call", "audio"] {
        let path = fields.path_of(name);
        let asks = fields.take(name).is_some_and(|value| !value.as_array().is_some_and(Vec::is_empty));
        if asks {
            return Err(ApiError::field(&*path, "unsupported_parameter", format!("`{path}` is not supported")));
        }
    }
    let path = fields.path_of("content");
    // Other fields of a message (`name`, `refusal`, `annotations`) come back from clients that replay answers.
    let content = content(&path, fields.required("content")?)?;
    Ok(ChatMessage { role, content })
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

fn stream_options(fields: &mut Fields, stream: bool) -> Result<bool, ApiError> {
    let Some(value) = fields.take("stream_options") else { return Ok(false) };
    if !stream {
        let message = "`stream_options` is only allowed where `stream` is true";
        return Err(ApiError::field("stream_options", "invalid_value", message));
    }
    let mut options = Fields::new(value, "stream_options".to_owned())?;
    let include_usage = options.flag("include_usage")?;
    options.flag("include_obfuscation")?;
    options.finish()?;
    Ok(include_usage)
}

fn max_tokens(fields: &mut Fields) -> Result<Option<u32>, ApiError> {
    let limit = i64::from(u32::MAX);
    let old = fields.integer("max_tokens", 1, limit)?;
    let new = fields.integer("max_completion_tokens", 1, limit)?;
    if old.zip(new).is_some_and(|(old, new)| old != new) {
        let message = "`max_tokens` and `max_completion_tokens` differ; leave one of them out";
        return Err(ApiError::field("max_tokens", "invalid_value", message));
    }
    Ok(new.or(old).and_then(|tokens| u32::try_from(tokens).ok()))
}

fn stop(fields: &mut Fields) -> Result<Vec<String>, ApiError> {
    let items = match fields.take("stop") {
        None => return Ok(Vec::new()),
        Some(Value::Array(items)) => items,
        Some(one @ Value::String(_)) => vec![one],
        Some(other) => return Err(wrong_type("stop", "a string or a list of strings", &other)),
    };
    if items.len() > STOPS {
        let message = format!("`stop` has {} entries, at most {STOPS} are allowed", items.len());
        return Err(ApiError::field("stop", "invalid_value", message));
    }
    let check = |item: Value| match item {
        Value::String(text) if (1..=STOP_BYTES).contains(&text.len()) => Ok(text),
        Value::String(text) => {
            let message = format!("a stop string has {} bytes, but must have from 1 to {STOP_BYTES}", text.len());
            Err(ApiError::field("stop", "invalid_value", message))
        }
        other => Err(wrong_type("stop", "a string or a list of strings", &other)),
    };
    items.into_iter().map(check).collect()
}

fn sampling(fields: &mut Fields) -> Result<SamplingParams, ApiError> {
    let default = SamplingParams::default();
    let top_k = fields.integer("top_k", -1, 1 << 20)?;
    Ok(SamplingParams {
        temperature: fields.number("temperature", 0.0, 2.0)?.unwrap_or(default.temperature),
        // Some clients write -1 for "all".
        top_k: top_k.map_or(default.top_k, |k| u32::try_from(k).unwrap_or(0)),
        top_p: fields.number("top_p", 0.0, 1.0)?.unwrap_or(default.top_p),
        min_p: fields.number("min_p", 0.0, 1.0)?.unwrap_or(default.min_p),
        repetition_penalty: fields.number("repetition_penalty", 0.1, 10.0)?.unwrap_or(default.repetition_penalty),
        frequency_penalty: fields.number("frequency_penalty", -2.0, 2.0)?.unwrap_or(default.frequency_penalty),
        presence_penalty: fields.number("presence_penalty", -2.0, 2.0)?.unwrap_or(default.presence_penalty),
        penalty_window: default.penalty_window,
        logit_bias: logit_bias(fields)?,
        seed: fields.integer("seed", i64::MIN, i64::MAX)?.map(i64::cast_unsigned),
    })
}

fn logit_bias(fields: &mut Fields) -> Result<BTreeMap<u32, f32>, ApiError> {
    let map = match fields.take("logit_bias") {
        None => return Ok(BTreeMap::new()),
        Some(Value::Object(map)) => map,
        Some(other) => return Err(wrong_type("logit_bias", "an object of token ids and numbers", &other)),
    };
    if map.len() > BIASES {
        let message = format!("`logit_bias` has {} entries, at most {BIASES} are allowed", map.len());
        return Err(ApiError::field("logit_bias", "invalid_value", message));
    }
    let entry = |(token, bias): (String, Value)| {
        let bias = number_in("logit_bias", &bias, -100.0, 100.0)?;
        let token = token.parse().map_err(|_| {
            ApiError::field("logit_bias", "invalid_value", "the keys of `logit_bias` must be token ids: whole numbers")
        })?;
        Ok((token, bias))
    };
    map.into_iter().map(entry).collect()
}

#[cfg(test)]
mod tests;
