//! Which handler answers what, and what is checked before.

use crate::body;
use crate::guard::{check_host, check_key, check_origin};
use crate::live::{InForce, LiveOptions};
use crate::reply::Reply;
use crate::server::ServerOptions;
use axum::body::Body;
use axum::extract::{FromRequestParts, Query, RawPathParams};
use axum::routing::{MethodFilter, on};
use bytes::Bytes;
use exo_wire::ApiError;
use futures::FutureExt;
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// A request that passed all checks. Its body is in memory.
pub struct Request {
    /// From the route: `{id}`.
    pub params: BTreeMap<String, String>,
    /// In their order.
    pub query: Vec<(String, String)>,
    /// The last event that a client had which lost its stream and comes back: the header `Last-Event-ID`.
    pub last_event_id: Option<String>,
    /// At most as long as configured.
    pub body: Bytes,
    /// Number of the key that the client presented, from 1; 0 where none is asked for.
    pub key: usize,
    /// When the answer must be complete.
    pub deadline: Instant,
    /// Cancelled shortly before the server cuts what is still open: a stream then ends with an error of its own.
    pub closing: CancellationToken,
    permit: Permit,
}

/// Keeps one of the places for concurrent requests until its last clone is dropped.
#[derive(Clone)]
pub struct Permit(#[expect(dead_code, reason = "held for its drop")] Option<Arc<OwnedSemaphorePermit>>);

impl Request {
    /// One parameter of the route.
    pub fn param(&self, name: &str) -> &str {
        self.params.get(name).map(String::as_str).unwrap_or_default()
    }

    /// The first parameter of that name after the question mark.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// For a handler that answers with a stream: the place stays taken until this is dropped.
    pub fn permit(&self) -> Permit {
        self.permit.clone()
    }
}

/// Answers requests. Dropped when the client is gone or the deadline passes.
pub type Handler = Arc<dyn Fn(Request) -> BoxFuture<'static, Result<Reply, ApiError>> + Send + Sync>;

/// One method of one path.
#[derive(Clone)]
pub struct Route {
    method: MethodFilter,
    path: &'static str,
    handler: Handler,
    is_counted: bool,
    is_open: bool,
}

impl Route {
    /// `GET`, and `HEAD` with it.
    pub fn get<F, R>(path: &'static str, handler: F) -> Self
    where
        F: Fn(Request) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Reply, ApiError>> + Send + 'static,
    {
        Self::new(MethodFilter::GET, path, handler)
    }

    /// `POST`.
    pub fn post<F, R>(path: &'static str, handler: F) -> Self
    where
        F: Fn(Request) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Reply, ApiError>> + Send + 'static,
    {
        Self::new(MethodFilter::POST, path, handler)
    }

    /// `DELETE`.
    pub fn delete<F, R>(path: &'static str, handler: F) -> Self
    where
        F: Fn(Request) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Reply, ApiError>> + Send + 'static,
    {
        Self::new(MethodFilter::DELETE, path, handler)
    }

    fn new<F, R>(method: MethodFilter, path: &'static str, handler: F) -> Self
    where
        F: Fn(Request) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Reply, ApiError>> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |request| handler(request).boxed());
        Self { method, path, handler, is_counted: false, is_open: false }
    }

    /// Counts towards the limit of concurrent requests.
    #[must_use]
    pub fn counted(self) -> Self {
        Self { is_counted: true, ..self }
    }

    /// Asks for no key: health probes, the page that asks for the key.
    #[must_use]
    pub fn open(self) -> Self {
        Self { is_open: true, ..self }
    }
}

/// All routes.
#[derive(Clone, Default)]
pub struct Router {
    routes: Vec<Route>,
}

impl Router {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// One more. Two routes of the same path must differ in their method.
    #[must_use]
    pub fn route(mut self, route: Route) -> Self {
        self.routes.push(route);
        self
    }

    pub(crate) fn into_axum(self, options: LiveOptions, closing: CancellationToken) -> axum::Router {
        let mut router = axum::Router::new();
        for route in self.routes {
            let (of_gate, live, closing) = (route.clone(), options.clone(), closing.clone());
            let answer = move |request: axum::extract::Request| {
                let gate = Gate { route: of_gate.clone(), in_force: live.now(), closing: closing.clone() };
                async move { gate.answer(request).await.into_response() }
            };
            router = router.route(route.path, on(route.method, answer));
        }
        let refused = |options: &LiveOptions, error: fn() -> ApiError| {
            let options = options.clone();
            move |headers: http::HeaderMap| {
                let refusal = checks(&headers, &options.now().options, false).err().unwrap_or_else(error);
                async move { Reply::from(&refusal).into_response() }
            }
        };
        router.fallback(refused(&options, no_route)).method_not_allowed_fallback(refused(&options, no_method))
    }
}

fn no_route() -> ApiError {
    ApiError::new(404, "unknown_route", "there is nothing at this path; the paths stand in docs/api.md")
}

fn no_method() -> ApiError {
    ApiError::new(405, "method_not_allowed", "this path exists, but not with this method")
}

/// The number of the key that was presented, from 1; 0 where none is asked for.
fn checks(headers: &http::HeaderMap, options: &ServerOptions, is_open: bool) -> Result<usize, ApiError> {
    check_host(headers, options.bind.ip())?;
    check_origin(headers)?;
    if is_open { Ok(0) } else { check_key(headers, &options.keys) }
}

/// Everything between the connection and the handler.
struct Gate {
    route: Route,
    in_force: Arc<InForce>,
    closing: CancellationToken,
}

impl Gate {
    async fn answer(self, request: axum::extract::Request) -> Reply {
        let started = Instant::now();
        let path = self.route.path;
        let deadline = started + self.in_force.options.request_timeout;
        let answer = AssertUnwindSafe(self.pass(request, deadline)).catch_unwind();
        let result = match timeout_at(deadline, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_panic)) => {
                Err(ApiError::new(500, "internal", "a defect of exo; the details are in the log of this node"))
            }
            Err(_late) => {
                Err(ApiError::new(504, "deadline_exceeded", "the request was not answered within `api.requestTimeout`"))
            }
        };
        let elapsed = started.elapsed();
        match result {
            Ok(reply) => {
                tracing::debug!(path, ?elapsed, "answered");
                reply
            }
            Err(error) => {
                tracing::debug!(path, status = error.status, code = error.code, ?elapsed, "refused");
                Reply::from(&error)
            }
        }
    }

    async fn pass(self, request: axum::extract::Request, deadline: Instant) -> Result<Reply, ApiError> {
        let (mut parts, body) = request.into_parts();
        let options = &self.in_force.options;
        let key = checks(&parts.headers, options, self.route.is_open)?;
        let permit = Permit(if self.route.is_counted { Some(Arc::new(self.place()?)) } else { None });
        let _until_answered = permit.clone();
        body::check_length(&parts.headers, options.max_body_bytes)?;
        let request = Request {
            params: params(&mut parts).await?,
            query: query(&mut parts).await?,
            last_event_id: last_event_id(&parts.headers),
            body: self.body(body).await?,
            key,
            deadline,
            closing: self.closing,
            permit,
        };
        (self.route.handler)(request).await
    }

    async fn body(&self, body: Body) -> Result<Bytes, ApiError> {
        let options = &self.in_force.options;
        body::read(body, options.max_body_bytes, options.header_timeout).await
    }

    fn place(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        self.in_force.places.clone().try_acquire_owned().map_err(|_| {
            let limit = self.in_force.options.max_concurrent;
            let message =
                format!("{limit} requests are being served, as many as `api.maxConcurrent` allows; try again");
            ApiError::new(429, "overloaded", message).retry_after(1)
        })
    }
}

async fn params(parts: &mut http::request::Parts) -> Result<BTreeMap<String, String>, ApiError> {
    let raw = RawPathParams::from_request_parts(parts, &()).await;
    let raw = raw.map_err(|_| ApiError::new(400, "invalid_path", "the path is not UTF-8"))?;
    Ok(raw.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

fn last_event_id(headers: &http::HeaderMap) -> Option<String> {
    let value = headers.get("last-event-id")?.to_str().ok()?;
    Some(value.to_owned()).filter(|value| !value.is_empty())
}

async fn query(parts: &mut http::request::Parts) -> Result<Vec<(String, String)>, ApiError> {
    let query = Query::from_request_parts(parts, &()).await;
    query.map(|Query(pairs)| pairs).map_err(|_| ApiError::new(400, "invalid_query", "the query string cannot be read"))
}
