//! What a handler answers.

use crate::sse::{self, Event};
use axum::body::Body;
use exo_wire::ApiError;
use futures::Stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, HeaderValue, StatusCode};

const JSON: &str = "application/json";
/// The page loads its own parts and talks to its own server; nothing else, and nobody frames it.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                           base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// An answer: at once, or as a stream of events.
pub struct Reply {
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Body,
}

impl Reply {
    /// 200 with a JSON text.
    pub fn json(text: String) -> Self {
        Self::new(JSON, Body::from(text))
    }

    /// 200 with plain text.
    pub fn text(text: String) -> Self {
        Self::new("text/plain; charset=utf-8", Body::from(text))
    }

    /// 200 with a text of that type.
    pub fn text_of(content_type: &'static str, text: String) -> Self {
        Self::new(content_type, Body::from(text))
    }

    /// 200 with a part of the page that is built into the program.
    pub fn asset(content_type: &'static str, content: &'static str) -> Self {
        let mut reply = Self::new(content_type, Body::from(content));
        let security_policy = HeaderName::from_static("content-security-policy");
        reply.headers.push((security_policy, HeaderValue::from_static(PAGE_POLICY)));
        reply
    }

    /// 200 with server-sent events, with a comment wherever nothing else comes for a while. The stream is asked for the
    /// next event only when the client took the last, and dropped when the client is gone.
    pub fn events(events: impl Stream<Item = Event> + Send + 'static) -> Self {
        let mut reply = Self::new("text/event-stream; charset=utf-8", Body::from_stream(sse::bytes(events)));
        // A proxy that buffers would turn a stream into one late answer.
        reply.headers.push((HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")));
        reply
    }

    /// Another status than 200.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        self
    }

    fn new(content_type: &'static str, body: Body) -> Self {
        let headers = vec![
            (CONTENT_TYPE, HeaderValue::from_static(content_type)),
            (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        ];
        Self { status: StatusCode::OK, headers, body }
    }

    pub(crate) fn into_response(self) -> http::Response<Body> {
        let mut response = http::Response::new(self.body);
        *response.status_mut() = self.status;
        response.headers_mut().extend(self.headers.into_iter().map(|(name, value)| (Some(name), value)));
        response
    }
}

/// The error in its envelope, with its status.
impl From<&ApiError> for Reply {
    fn from(error: &ApiError) -> Self {
        let mut reply = Self::json(error.to_json()).with_status(error.status);
        if let Some(seconds) = error.retry_after {
            reply.headers.push((RETRY_AFTER, HeaderValue::from(seconds)));
        }
        if error.status == 401 {
            reply.headers.push((http::header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
        }
        reply
    }
}
