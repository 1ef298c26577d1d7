//! What requests for text share: how to choose, when to stop, how to answer.

use crate::ApiError;
use crate::fields::{Fields, number_in, wrong_type};
use crate::service_tier::ServiceTier;
use exo_types::{
    AnsweredTokens, GenerateRequest, InstanceId, ModelId, Prompt, ReplyOptions, RequestId, SamplingParams, Turn,
};
use serde_json::Value;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// OpenAI's own limit.
const STOPS: usize = 4;
/// A stop string is compared with every piece of the answer; longer ones are surely a mistake.
const STOP_BYTES: usize = 256;
/// OpenAI's own limit for the number of biased tokens.
const BIASES: usize = 1_024;

/// Fields that change nothing here: told for the provider's own books.
pub(crate) const WITHOUT_EFFECT: [&str; 4] = ["metadata", "store", "prompt_cache_key", "prompt_cache_retention"];

/// A request for text whose every field is in range.
#[derive(Debug, Clone, PartialEq)]
pub struct TextRequest {
    /// Which model.
    pub model: ModelId,
    /// Piece by piece, or at once.
    pub stream: bool,
    /// Whether a stream ends with what it cost.
    pub include_usage: bool,
    /// What to continue.
    pub prompt: Prompt,
    /// How to choose.
    pub sampling: SamplingParams,
    /// At most so many tokens.
    pub max_tokens: Option<u32>,
    /// Stop before any of these.
    pub stop: Vec<String>,
    /// What the reply may and must be.
    pub reply: ReplyOptions,
    /// When its turn is.
    pub turn: Turn,
    /// The same in the client's word.
    pub tier: Option<ServiceTier>,
}

impl TextRequest {
    /// The request to the worker.
    pub fn generate(self, request_id: RequestId, instance_id: InstanceId, deadline_ms: u64) -> GenerateRequest {
        GenerateRequest {
            request_id,
            instance_id,
            prompt: self.prompt,
            sampling: self.sampling,
            max_tokens: self.max_tokens,
            stop: self.stop,
            reply: self.reply.into(),
            deadline_ms,
            answered: AnsweredTokens::default(),
            asked_at: None,
            turn: self.turn,
        }
    }
}

/// When the turn is of a request that has these fields, and the word for it.
pub(crate) fn turn(fields: &mut Fields) -> Result<(Turn, Option<ServiceTier>), ApiError> {
    let tier = ServiceTier::take(fields)?;
    let (old, new) = (fields.text("user")?, fields.text("safety_identifier")?);
    let priority = tier.map(ServiceTier::priority).unwrap_or_default();
    let client = new.or(old).map_or(0, |name| number_of(&name));
    Ok((Turn { priority, client }, tier))
}

/// The same number for the same name, wherever a request comes in.
fn number_of(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

pub(crate) fn model(fields: &mut Fields) -> Result<ModelId, ApiError> {
    let text = fields.required_text("model")?;
    ModelId::new(text).map_err(|error| ApiError::field("model", "invalid_value", error.to_string()))
}

pub(crate) fn stream_options(fields: &mut Fields, stream: bool) -> Result<bool, ApiError> {
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

pub(crate) fn max_tokens(fields: &mut Fields) -> Result<Option<u32>, ApiError> {
    let limit = i64::from(u32::MAX);
    let old = fields.integer("max_tokens", 1, limit)?;
    let new = fields.integer("max_completion_tokens", 1, limit)?;
    if old.zip(new).is_some_and(|(old, new)| old != new) {
        let message = "`max_tokens` and `max_completion_tokens` differ; leave one of them out";
        return Err(ApiError::field("max_tokens", "invalid_value", message));
    }
    Ok(new.or(old).and_then(|tokens| u32::try_from(tokens).ok()))
}

pub(crate) fn stop(fields: &mut Fields) -> Result<Vec<String>, ApiError> {
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

pub(crate) fn sampling(fields: &mut Fields) -> Result<SamplingParams, ApiError> {
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
        logprobs: None,
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
