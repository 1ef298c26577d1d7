//! `POST /v1/embeddings`: texts in, vectors out.

use crate::ApiError;
use crate::completion::tokens;
use crate::fields::{Fields, parse, wrong_type};
use crate::text_request::{self, TextRequest, WITHOUT_EFFECT};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use exo_types::{EmbeddingChunk, EmbeddingOptions, ModelId, Pooling, Prompt, ReplyOptions, SamplingParams, Turn};
use serde::Serialize;
use serde_json::Value;

/// OpenAI's own limit.
const INPUTS: usize = 2048;
/// No model has wider states.
const DIMENSIONS: i64 = 1 << 16;

/// A request for vectors whose every field is in range.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbeddingRequest {
    /// Which model.
    pub model: ModelId,
    /// What vectors are wanted of, one for each.
    pub inputs: Vec<Prompt>,
    /// How they are made; as the model says if nothing is said.
    pooling: Option<Pooling>,
    /// Numbers of each vector: the first ones of those that there are.
    dimensions: Option<usize>,
    /// Whether vectors are written in base64.
    in_base64: bool,
    /// When its turn is.
    turn: Turn,
}

/// Reads and checks a body. Refusals name the field.
pub fn parse_embedding_request(body: &[u8]) -> Result<EmbeddingRequest, ApiError> {
    let mut fields = parse(body)?;
    for name in WITHOUT_EFFECT {
        fields.take(name);
    }
    let model = text_request::model(&mut fields)?;
    let inputs = inputs(fields.required("input")?)?;
    let dimensions = fields.integer("dimensions", 1, DIMENSIONS)?.and_then(|number| usize::try_from(number).ok());
    let in_base64 = word(&mut fields, "encoding_format", &[("float", false), ("base64", true)])?.unwrap_or(false);
    let ways = [("mean", Pooling::Mean), ("cls", Pooling::Cls), ("last", Pooling::Last)];
    let pooling = word(&mut fields, "pooling", &ways)?;
    let (turn, _) = text_request::turn(&mut fields)?;
    fields.finish()?;
    Ok(EmbeddingRequest { model, inputs, pooling, dimensions, in_base64, turn })
}

/// One text, one list of tokens, or a list of either.
fn inputs(value: Value) -> Result<Vec<Prompt>, ApiError> {
    let refused = |message: String| Err(ApiError::field("input", "invalid_value", message));
    let inputs = match value {
        Value::String(text) => vec![Prompt::Text(text)],
        Value::Array(items) if items.first().is_some_and(Value::is_number) => {
            vec![Prompt::Tokens(tokens("input", &items)?)]
        }
        Value::Array(items) => items.into_iter().map(input).collect::<Result<_, _>>()?,
        other => return Err(wrong_type("input", "a string, a list of tokens, or a list of these", &other)),
    };
    match inputs.len() {
        0 => refused("`input` is empty; give at least one text".to_owned()),
        count if count > INPUTS => refused(format!("`input` has {count} entries, at most {INPUTS} are allowed")),
        _ => Ok(inputs),
    }
}

fn input(value: Value) -> Result<Prompt, ApiError> {
    match value {
        Value::String(text) => Ok(Prompt::Text(text)),
        Value::Array(items) => tokens("input", &items).map(Prompt::Tokens),
        other => Err(wrong_type("input", "a string, a list of tokens, or a list of these", &other)),
    }
}

fn word<T: Copy>(fields: &mut Fields, name: &str, words: &[(&str, T)]) -> Result<Option<T>, ApiError> {
    let Some(found) = fields.text(name)? else { return Ok(None) };
    let known = words.iter().find(|(word, _)| *word == found).map(|(_, value)| *value);
    let refused = || {
        let words: Vec<_> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        ApiError::field(name, "invalid_value", format!("`{name}` must be {}", words.join(" or ")))
    };
    known.map(Some).ok_or_else(refused)
}

impl EmbeddingRequest {
    /// What is asked of the model for one of the inputs.
    pub fn text(&self, input: Prompt) -> TextRequest {
        let embedding = Some(EmbeddingOptions { pooling: self.pooling });
        TextRequest {
            model: self.model.clone(),
            stream: false,
            include_usage: false,
            prompt: input,
            sampling: SamplingParams::default(),
            max_tokens: None,
            stop: Vec::new(),
            reply: ReplyOptions { embedding, ..ReplyOptions::default() },
            turn: self.turn,
            tier: None,
        }
    }

    /// The body for vectors in the order of the inputs.
    pub fn body(&self, vectors: Vec<EmbeddingChunk>) -> Result<EmbeddingsBody, ApiError> {
        let prompt_tokens = vectors.iter().map(|vector| u64::from(vector.usage.prompt_tokens)).sum();
        let vectors = vectors.into_iter().map(|vector| self.cut(vector.values)).collect::<Result<Vec<_>, _>>()?;
        let item = |(index, values): (usize, Vec<f32>)| Item {
            object: "embedding",
            index,
            embedding: if self.in_base64 { Numbers::Base64(base64_of(&values)) } else { Numbers::Floats(values) },
        };
        Ok(EmbeddingsBody {
            object: "list",
            data: vectors.into_iter().enumerate().map(item).collect(),
            model: self.model.to_string(),
            usage: EmbeddingUsage { prompt_tokens, total_tokens: prompt_tokens },
        })
    }

    /// The first numbers, of length one again: for models that were trained to bear it.
    fn cut(&self, mut values: Vec<f32>) -> Result<Vec<f32>, ApiError> {
        let Some(dimensions) = self.dimensions.filter(|&dimensions| dimensions != values.len()) else {
            return Ok(values);
        };
        if dimensions > values.len() {
            let message = format!("`dimensions` is {dimensions}, but vectors of {} have {}", self.model, values.len());
            return Err(ApiError::field("dimensions", "invalid_value", message));
        }
        values.truncate(dimensions);
        let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
        if length > 0.0 {
            values.iter_mut().for_each(|value| *value /= length);
        }
        Ok(values)
    }
}

/// Little-endian f32 numbers, as OpenAI has them.
fn base64_of(values: &[f32]) -> String {
    STANDARD.encode(values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>())
}

/// The answer.
#[derive(Debug, Clone, Serialize)]
pub struct EmbeddingsBody {
    object: &'static str,
    data: Vec<Item>,
    model: String,
    usage: EmbeddingUsage,
}

#[derive(Debug, Clone, Serialize)]
struct Item {
    object: &'static str,
    index: usize,
    embedding: Numbers,
}

#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
enum Numbers {
    Floats(Vec<f32>),
    Base64(String),
}

#[derive(Debug, Clone, Serialize)]
struct EmbeddingUsage {
    prompt_tokens: u64,
    total_tokens: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use exo_types::Usage;
    use serde_json::json;

    fn read(more: &str) -> Result<EmbeddingRequest, (Option<String>, &'static str)> {
        let body = format!(r#"{{"model":"m",{more}}}"#);
        parse_embedding_request(body.as_bytes()).map_err(|error| (error.param, error.code))
    }

    fn vector(values: &[f32], prompt_tokens: u32) -> EmbeddingChunk {
        EmbeddingChunk { values: values.to_vec(), usage: Usage { prompt_tokens, ..Usage::default() } }
    }

    #[test]
    fn an_input_is_a_text_or_tokens_or_several() {
        let check = |input: &str, expect: Vec<Prompt>| {
            assert_eq!(read(&format!(r#""input":{input}"#)).expect("good").inputs, expect, "{input}");
        };
        let text = |text: &str| Prompt::Text(text.to_owned());
        check(r#""a""#, vec![text("a")]);
        check(r#"["a","b"]"#, vec![text("a"), text("b")]);
        check("[1,2]", vec![Prompt::Tokens(vec![1, 2])]);
        check("[[1,2],[3]]", vec![Prompt::Tokens(vec![1, 2]), Prompt::Tokens(vec![3])]);
        check(r#"["a",[3]]"#, vec![text("a"), Prompt::Tokens(vec![3])]);
        for (word, pooling) in [("mean", Pooling::Mean), ("cls", Pooling::Cls), ("last", Pooling::Last)] {
            let asked = read(&format!(r#""input":"a","pooling":"{word}","user":"u""#)).expect("good");
            let embedding = asked.text(text("a")).reply.embedding;
            assert_eq!(embedding, Some(EmbeddingOptions { pooling: Some(pooling) }));
        }
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        for (more, param, code) in [
            (r#""input":[]"#, "input", "invalid_value"),
            (r#""input":5"#, "input", "invalid_type"),
            (r#""input":[-1]"#, "input", "invalid_value"),
            (r#""input":["a",5]"#, "input", "invalid_type"),
            (r#""user":"u""#, "input", "missing_field"),
            (r#""input":"a","dimensions":0"#, "dimensions", "invalid_value"),
            (r#""input":"a","encoding_format":"hex""#, "encoding_format", "invalid_value"),
            (r#""input":"a","pooling":"max""#, "pooling", "invalid_value"),
            (r#""input":"a","stream":true"#, "stream", "unknown_parameter"),
        ] {
            assert_eq!(read(more).expect_err(more), (Some(param.to_owned()), code), "{more}");
        }
        let many = format!(r#""input":[{}"a"]"#, r#""a","#.repeat(INPUTS));
        assert_eq!(read(&many).expect_err("too many"), (Some("input".to_owned()), "invalid_value"));
    }

    #[test]
    fn vectors_are_written_as_openai_writes_them() {
        let body = |more: &str| {
            let request = read(&format!(r#""input":["a","b"]{more}"#)).expect("good");
            let body = request.body(vec![vector(&[0.6, 0.0, 0.8], 2), vector(&[1.0, 0.0, 0.0], 3)]);
            body.map(|body| serde_json::to_value(body).expect("plain"))
        };
        let expect = json!({
            "object": "list",
            "data": [
                { "object": "embedding", "index": 0, "embedding": [0.6f32, 0.0, 0.8f32] },
                { "object": "embedding", "index": 1, "embedding": [1.0, 0.0, 0.0] },
            ],
            "model": "m",
            "usage": { "prompt_tokens": 5, "total_tokens": 5 },
        });
        assert_eq!(body("").expect("fits"), expect);
        let cut = body(r#","dimensions":2"#).expect("fits");
        assert_eq!(cut["data"][0]["embedding"], json!([1.0, 0.0]));
        let written = body(r#","encoding_format":"base64","dimensions":1"#).expect("fits");
        // 1.0 is 0x3f800000.
        assert_eq!(written["data"][1]["embedding"], json!("AACAPw=="));
        let error = body(r#","dimensions":4"#).expect_err("too many");
        assert_eq!((error.param.as_deref(), error.status), (Some("dimensions"), 400));
    }
}
