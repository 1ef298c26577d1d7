//! `POST /v1/completions`: the request.

use crate::ApiError;
use crate::fields::{Fields, parse, wrong_type};
use crate::text_request::{self, TextRequest, WITHOUT_EFFECT};
use exo_types::{Prompt, ReplyOptions};
use serde_json::Value;

/// As in OpenAI's API, where nothing else is said.
const MAX_TOKENS: u32 = 16;
/// Most likely tokens that are told beside the chosen one.
const LOGPROBS: i64 = 20;

/// A request to go on with a text.
#[derive(Debug, Clone, PartialEq)]
pub struct CompletionRequest {
    /// What is asked of the model.
    pub text: TextRequest,
    /// The prompt, where the answer begins with it.
    pub echo: Option<String>,
}

/// Reads and checks a body. Refusals name the field.
pub fn parse_completion_request(body: &[u8]) -> Result<CompletionRequest, ApiError> {
    let mut fields = parse(body)?;
    for name in WITHOUT_EFFECT {
        fields.take(name);
    }
    for name in ["n", "best_of"] {
        if fields.integer(name, 1, i64::MAX)?.is_some_and(|count| count != 1) {
            let message = format!("`{name}` must be 1: send the request several times for several answers");
            return Err(ApiError::field(name, "unsupported_parameter", message));
        }
    }
    if fields.text("suffix")?.is_some_and(|suffix| !suffix.is_empty()) {
        return Err(ApiError::field("suffix", "unsupported_parameter", "`suffix` is not supported; leave it out"));
    }
    let model = text_request::model(&mut fields)?;
    let prompt = prompt(&mut fields)?;
    let stream = fields.flag("stream")?;
    let include_usage = text_request::stream_options(&mut fields, stream)?;
    let max_tokens = text_request::max_tokens(&mut fields)?.or(Some(MAX_TOKENS));
    let stop = text_request::stop(&mut fields)?;
    let mut sampling = text_request::sampling(&mut fields)?;
    sampling.logprobs = fields.integer("logprobs", 0, LOGPROBS)?.and_then(|count| u32::try_from(count).ok());
    let echo = echo(&mut fields, &prompt, sampling.logprobs)?;
    let (turn, tier) = text_request::turn(&mut fields)?;
    fields.finish()?;
    let reply = ReplyOptions::default();
    let text = TextRequest { model, stream, include_usage, prompt, sampling, max_tokens, stop, reply, turn, tier };
    Ok(CompletionRequest { text, echo })
}

/// One prompt: a text, tokens, or a list of one of these.
fn prompt(fields: &mut Fields) -> Result<Prompt, ApiError> {
    let value = fields.required("prompt")?;
    let value = match value {
        Value::Array(mut items) if items.len() == 1 && !items[0].is_number() => items.remove(0),
        other => other,
    };
    match value {
        Value::String(text) => Ok(Prompt::Text(text)),
        Value::Array(items) if items.iter().all(Value::is_number) => tokens("prompt", &items).map(Prompt::Tokens),
        Value::Array(_) => {
            let message = "`prompt` must be one text or one list of tokens; send several in several requests";
            Err(ApiError::field("prompt", "unsupported_parameter", message))
        }
        other => Err(wrong_type("prompt", "a string or a list of tokens", &other)),
    }
}

/// Token ids; whether the model has them is told by whoever holds it.
pub(crate) fn tokens(path: &str, items: &[Value]) -> Result<Vec<u32>, ApiError> {
    let token = |item: &Value| item.as_u64().and_then(|token| u32::try_from(token).ok());
    let refused = || ApiError::field(path, "invalid_value", format!("`{path}` must have token ids: whole numbers"));
    items.iter().map(|item| token(item).ok_or_else(refused)).collect()
}

fn echo(fields: &mut Fields, prompt: &Prompt, logprobs: Option<u32>) -> Result<Option<String>, ApiError> {
    let refused = |message: &str| Err(ApiError::field("echo", "unsupported_parameter", message));
    match (fields.flag("echo")?, prompt) {
        (false, _) => Ok(None),
        (true, _) if logprobs.is_some() => refused("`echo` with `logprobs` is not supported; leave one of them out"),
        (true, Prompt::Text(text)) => Ok(Some(text.clone())),
        (true, _) => refused("`echo` needs a prompt of text"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<CompletionRequest, (Option<String>, &'static str)> {
        parse_completion_request(body.as_bytes()).map_err(|error| (error.param, error.code))
    }

    #[test]
    fn a_text_or_tokens_go_on() {
        let prompt = |prompt: &str| read(&format!(r#"{{"model":"m","prompt":{prompt}}}"#)).map(|read| read.text.prompt);
        let text = Prompt::Text("a".to_owned());
        assert_eq!(prompt(r#""a""#), Ok(text.clone()));
        assert_eq!(prompt(r#"["a"]"#), Ok(text));
        assert_eq!(prompt("[1,2]"), Ok(Prompt::Tokens(vec![1, 2])));
        assert_eq!(prompt("[7]"), Ok(Prompt::Tokens(vec![7])));
        assert_eq!(prompt("[[1,2]]"), Ok(Prompt::Tokens(vec![1, 2])));
        let request = read(r#"{"model":"m","prompt":"a","echo":true}"#).expect("good");
        assert_eq!((request.echo.as_deref(), request.text.max_tokens), (Some("a"), Some(16)));
        let logprobs = read(r#"{"model":"m","prompt":"a","logprobs":3,"n":1}"#).expect("good").text.sampling.logprobs;
        assert_eq!(logprobs, Some(3));
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        for (more, param, code) in [
            (r#""prompt":["a","b"]"#, "prompt", "unsupported_parameter"),
            (r#""prompt":5"#, "prompt", "invalid_type"),
            (r#""prompt":[-1]"#, "prompt", "invalid_value"),
            (r#""n":1"#, "prompt", "missing_field"),
            (r#""prompt":"a","n":2"#, "n", "unsupported_parameter"),
            (r#""prompt":"a","suffix":"b""#, "suffix", "unsupported_parameter"),
            (r#""prompt":[1],"echo":true"#, "echo", "unsupported_parameter"),
            (r#""prompt":"a","echo":true,"logprobs":1"#, "echo", "unsupported_parameter"),
            (r#""prompt":"a","logprobs":21"#, "logprobs", "invalid_value"),
            (r#""prompt":"a","messages":[]"#, "messages", "unknown_parameter"),
        ] {
            let body = format!(r#"{{"model":"m",{more}}}"#);
            assert_eq!(read(&body).expect_err(more), (Some(param.to_owned()), code), "{more}");
        }
    }
}
