//! Errors in OpenAI's envelope.

use exo_types::{ErrorChunk, ErrorCode, Refusal, RefusalCode};
use serde::Serialize;

/// OpenAI's classes of errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorType {
    /// The client must change the request.
    InvalidRequestError,
    /// No key, or a wrong one.
    AuthenticationError,
    /// Too much at once.
    RateLimitError,
    /// Our side.
    ServerError,
}

/// An answer of "no": what the client sees, and with which status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// HTTP status.
    pub status: u16,
    /// Class.
    pub kind: ErrorType,
    /// For people: what is wrong, and what to do. Never quotes a prompt.
    pub message: String,
    /// The field that is wrong: `messages.0.content`.
    pub param: Option<String>,
    /// Stable name for programs.
    pub code: &'static str,
    /// Seconds after which another try makes sense.
    pub retry_after: Option<u32>,
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: Body<'a>,
}

#[derive(Serialize)]
struct Body<'a> {
    message: &'a str,
    #[serde(rename = "type")]
    kind: ErrorType,
    param: Option<&'a str>,
    code: &'a str,
}

impl ApiError {
    /// The class follows from the status.
    pub fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        let kind = match status {
            401 | 403 => ErrorType::AuthenticationError,
            429 => ErrorType::RateLimitError,
            500.. => ErrorType::ServerError,
            _ => ErrorType::InvalidRequestError,
        };
        Self { status, kind, message: message.into(), param: None, code, retry_after: None }
    }

    /// 400 because of one field.
    pub fn field(param: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self { param: Some(param.into()), ..Self::new(400, code, message) }
    }

    /// Tells when to try again.
    #[must_use]
    pub fn retry_after(self, seconds: u32) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// `{"error":{"message","type","param","code"}}`.
    pub fn to_json(&self) -> String {
        let body = Body { message: &self.message, kind: self.kind, param: self.param.as_deref(), code: self.code };
        serde_json::to_string(&Envelope { error: body }).expect("texts always serialise")
    }
}

/// How a generation's failure looks over HTTP. Losses of runners and peers are gateway errors: trying again can help.
impl From<&ErrorChunk> for ApiError {
    fn from(chunk: &ErrorChunk) -> Self {
        let status = match chunk.code {
            ErrorCode::InvalidRequest | ErrorCode::ContextLengthExceeded => 400,
            ErrorCode::Overloaded => 429,
            ErrorCode::RunnerLost | ErrorCode::RunnerHung | ErrorCode::PeerLost => 502,
            ErrorCode::NotReady | ErrorCode::ShuttingDown => 503,
            ErrorCode::DeadlineExceeded => 504,
            ErrorCode::Internal => 500,
        };
        let error = Self::new(status, chunk.code.as_str(), chunk.message.as_str());
        match status {
            429 | 502 | 503 => error.retry_after(1),
            _ => error,
        }
    }
}

/// How a master's refusal looks over HTTP.
impl From<&Refusal> for ApiError {
    fn from(refusal: &Refusal) -> Self {
        let (status, code) = match refusal.code {
            RefusalCode::NotFound => (404, "not_found"),
            RefusalCode::DoesNotFit => (409, "does_not_fit"),
            RefusalCode::Invalid => (400, "invalid_request"),
            RefusalCode::NotLeader => (503, "not_leader"),
            RefusalCode::LogUnavailable => (503, "log_unavailable"),
            RefusalCode::OutcomeUnknown => (504, "outcome_unknown"),
            RefusalCode::Forbidden => (403, "forbidden"),
        };
        let error = Self::new(status, code, refusal.message.as_str());
        if status == 503 { error.retry_after(1) } else { error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_envelope_is_openais() {
        let error = ApiError::field("messages.0.role", "invalid_value", "no such role");
        assert_eq!(
            error.to_json(),
            r#"{"error":{"message":"no such role","type":"invalid_request_error","param":"messages.0.role","code":"invalid_value"}}"#
        );
        assert!(ApiError::new(500, "internal", "x").to_json().contains(r#""type":"server_error","param":null"#));
    }

    #[test]
    fn every_failure_of_a_generation_has_a_status_and_its_own_code() {
        for (code, status) in [
            (ErrorCode::InvalidRequest, 400),
            (ErrorCode::ContextLengthExceeded, 400),
            (ErrorCode::NotReady, 503),
            (ErrorCode::RunnerLost, 502),
            (ErrorCode::RunnerHung, 502),
            (ErrorCode::PeerLost, 502),
            (ErrorCode::DeadlineExceeded, 504),
            (ErrorCode::Overloaded, 429),
            (ErrorCode::ShuttingDown, 503),
            (ErrorCode::Internal, 500),
        ] {
            let error = ApiError::from(&ErrorChunk { code, message: "m".to_owned() });
            assert_eq!((error.status, error.code), (status, code.as_str()));
        }
    }
}
