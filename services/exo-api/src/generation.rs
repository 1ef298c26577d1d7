//! One generation: where it runs, and its pieces as they come.

use crate::app::App;
use crate::streams::StreamGuard;
use exo_ambient::{Bug, planted};
use exo_bus::{OpenError, StreamError, StreamReceiver, topics};
use exo_http::{Permit, Request};
use exo_node::View;
use exo_types::{ErrorChunk, ErrorCode, Instance, InstanceId, ModelId, NodeId, RequestId, StreamChunk};
use exo_wire::{ApiError, TextRequest};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// How long a worker may take to say that it takes a request.
const OPEN_DEADLINE: Duration = Duration::from_secs(10);

/// How long a request waits for a placed model that is not ready: a runner that crashed is replaced sooner than this,
/// and the next request must not need anyone's help. What takes longer is told to the client.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two tries, if the State does not change meanwhile.
const PAUSE: Duration = Duration::from_millis(200);

/// How long the first piece is waited for before the answer's head goes out, so that a request that fails at once has
/// a status that says so. Longer would delay the keep-alive comments of a long prompt.
const FIRST_PIECE: Duration = Duration::from_millis(500);

/// What bounds one generation.
#[derive(Clone)]
pub(crate) struct Bounds {
    /// When the answer must be complete.
    pub(crate) deadline: Instant,
    /// Cancelled when the api is being stopped.
    pub(crate) closing: CancellationToken,
    /// A place among the requests that are served; none for one that came without HTTP.
    #[expect(dead_code, reason = "held for its drop")]
    pub(crate) permit: Option<Permit>,
}

impl From<&Request> for Bounds {
    fn from(request: &Request) -> Self {
        Self { deadline: request.deadline, closing: request.closing.clone(), permit: Some(request.permit()) }
    }
}

/// The pieces of one answer. Dropping it stops the generation.
pub struct Generation {
    first: Option<Result<StreamChunk, ApiError>>,
    receiver: StreamReceiver<StreamChunk>,
    guard: StreamGuard,
    stall: Duration,
    bounds: Bounds,
    ended: bool,
}

/// Starts a generation and waits a moment for its first piece. While nothing was said yet, a model that is placed but
/// not ready, or whose runner was lost, is tried again for [`PATIENCE`].
pub(crate) async fn start(
    app: &App,
    bounds: &Bounds,
    request_id: &RequestId,
    text: TextRequest,
) -> Result<Generation, ApiError> {
    let until = bounds.deadline.min(Instant::now() + PATIENCE);
    let mut view = app.node.view();
    loop {
        view.mark_unchanged();
        match attempt(app, bounds, request_id, text.clone()).await {
            Err(error) if is_transient(&error) && Instant::now() < until => {
                let _ = timeout_at(until.min(Instant::now() + PAUSE), view.changed()).await;
            }
            result => return result,
        }
    }
}

/// Whether the same request can succeed in a moment without anyone's help.
fn is_transient(error: &ApiError) -> bool {
    matches!(error.code, "not_ready" | "model_loading" | "runner_lost" | "peer_lost")
}

async fn attempt(
    app: &App,
    bounds: &Bounds,
    request_id: &RequestId,
    text: TextRequest,
) -> Result<Generation, ApiError> {
    let mut generation = open_any(app, bounds, request_id, text).await?;
    let first = timeout_at(Instant::now() + FIRST_PIECE, generation.next()).await;
    match first {
        Ok(Some(Err(error))) => Err(error),
        Ok(Some(Ok(StreamChunk::Error(error)))) => Err(ApiError::from(&error)),
        Ok(first) => {
            generation.first = first;
            Ok(generation)
        }
        Err(_not_yet) => Ok(generation),
    }
}

/// Opens a generation on the instance with the fewest open ones; if its node is gone, on the next.
async fn open_any(
    app: &App,
    bounds: &Bounds,
    request_id: &RequestId,
    text: TextRequest,
) -> Result<Generation, ApiError> {
    let candidates = candidates(app, &text.model)?;
    let mut last_error = None;
    for (instance, node) in candidates {
        if !is_candidate(&app.view(), &instance) {
            continue;
        }
        match open(app, bounds, request_id, text.clone(), &instance, &node).await {
            Ok(generation) => return Ok(generation),
            Err(error) => {
                tracing::warn!(%instance, %node, %error, "a worker does not take a request");
                last_error = Some(error);
            }
        }
    }
    let reason = last_error.map_or_else(String::new, |error| format!(": {error}"));
    let message = format!("no node of model {} takes requests now{reason}; try again", text.model);
    Err(ApiError::new(503, "not_ready", message).retry_after(1))
}

async fn open(
    app: &App,
    bounds: &Bounds,
    request_id: &RequestId,
    text: TextRequest,
    instance: &InstanceId,
    node: &NodeId,
) -> Result<Generation, OpenError> {
    let left = bounds.deadline.saturating_duration_since(Instant::now());
    let deadline_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
    let guard = app.streams.enter(request_id.clone(), instance.clone());
    let generate = text.generate(request_id.clone(), instance.clone(), deadline_ms);
    let receiver = app.bus.open_stream(topics::GENERATE, node, &generate, OPEN_DEADLINE.min(left)).await?;
    Ok(Generation {
        first: None,
        receiver,
        guard,
        stall: app.config.api.stream_timeout,
        bounds: bounds.clone(),
        ended: false,
    })
}

/// Ready instances and their first nodes, those with the fewest open generations first.
fn candidates(app: &App, model: &ModelId) -> Result<Vec<(InstanceId, NodeId)>, ApiError> {
    let view = app.view();
    let ready = view.state.instances_of(model).filter(|instance| is_candidate(&view, &instance.instance_id));
    let mut found: Vec<(usize, InstanceId, NodeId)> = ready
        .filter_map(|instance| {
            let (node, _) = instance.head()?;
            let id = instance.instance_id.clone();
            Some((app.streams.on(&id), id, node.clone()))
        })
        .collect();
    if found.is_empty() {
        return Err(unavailable(&view, model, app.config.api.port));
    }
    found.sort();
    Ok(found.into_iter().map(|(_, instance, node)| (instance, node)).collect())
}

/// Whether requests go there. Asked again before each try: the one before may have taken long.
fn is_candidate(view: &View, id: &InstanceId) -> bool {
    let instance = view.state.instances.get(id);
    instance.is_some_and(|instance| view.state.is_ready(instance) || planted(Bug::RouteToDeadRunner))
}

/// Why a model does not answer, and what to do.
fn unavailable(view: &View, model: &ModelId, port: u16) -> ApiError {
    let state = &view.state;
    if !view.is_joined() {
        let message = "this node has not found the cluster yet; try again in a moment";
        return ApiError::new(503, "not_joined", message).retry_after(1);
    }
    if let Some(instance) = state.instances_of(model).next() {
        let message = format!("model {model} is placed and not ready yet: {}; try again", progress(view, instance));
        return ApiError::new(503, "model_loading", message).retry_after(1);
    }
    if state.open_intents().any(|intent| intent.place.model_id == *model) {
        let message = format!("model {model} waits for nodes to be placed on (`exo status` tells); try again");
        return ApiError::new(503, "model_loading", message).retry_after(1);
    }
    let mut error = if state.model_cards().contains_key(model) {
        let body = format!("'{{\"model_id\":\"{model}\"}}'");
        let curl = format!("curl http://127.0.0.1:{port}/place_instance -d {body}");
        let message = format!("model {model} is not placed on any node; place it with `exo place {model}` or `{curl}`");
        ApiError::new(404, "model_not_placed", message)
    } else {
        let known: Vec<String> = state.model_cards().keys().take(10).map(ToString::to_string).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let message = format!(
            "no node has a model {model} (known: {known}); put its GGUF file into a directory of `models.dirs` on a node"
        );
        ApiError::new(404, "model_not_found", message)
    };
    error.param = Some("model".to_owned());
    error
}

/// How far the runners of an instance are, for people.
fn progress(view: &View, instance: &Instance) -> String {
    let ranks = instance.ranks();
    let of_runner = |runner| match view.state.runners.get(runner) {
        None => "waiting".to_owned(),
        Some(status) => crate::models::describe(status),
    };
    ranks
        .iter()
        .map(|(_, runner, shard)| format!("rank {} {}", shard.device_rank, of_runner(runner)))
        .collect::<Vec<_>>()
        .join(", ")
}

impl Generation {
    /// The next piece, or why there is none; `None` after the end. Cancelling the wait loses nothing.
    pub async fn next(&mut self) -> Option<Result<StreamChunk, ApiError>> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        if self.ended {
            return None;
        }
        let next = tokio::select! {
            biased;
            () = self.guard.cancelled.cancelled() => Err(cancelled()),
            () = self.bounds.closing.cancelled() => Err(ApiError::from(&shutting_down())),
            received = timeout_at(self.bounds.deadline, self.receiver.recv(self.stall)) => match received {
                Ok(Ok(Some(chunk))) => Ok(chunk),
                Ok(Ok(None)) => {
                    self.ended = true;
                    return None;
                }
                Ok(Err(error)) => Err(ApiError::from(&broken(&error))),
                Err(_late) => Err(ApiError::from(&too_late())),
            },
        };
        self.account(&next);
        Some(next)
    }

    fn account(&mut self, piece: &Result<StreamChunk, ApiError>) {
        match piece {
            Ok(StreamChunk::Token(token)) if token.finish_reason.is_some() => {
                self.guard.on_finished(token.usage.unwrap_or_default());
                self.ended = true;
            }
            Ok(StreamChunk::Error(_)) | Err(_) => {
                self.guard.on_failed();
                self.ended = true;
            }
            Ok(_) => {}
        }
    }
}

fn cancelled() -> ApiError {
    ApiError::new(409, "cancelled", "the request was cancelled through /v1/cancel")
}

fn shutting_down() -> ErrorChunk {
    chunk(ErrorCode::ShuttingDown, "this node's api is being stopped; send the request again".to_owned())
}

fn too_late() -> ErrorChunk {
    let message = "the answer did not end within `api.requestTimeout`; ask for fewer tokens, or raise it".to_owned();
    chunk(ErrorCode::DeadlineExceeded, message)
}

fn broken(error: &StreamError) -> ErrorChunk {
    let code = match error {
        StreamError::Lost { .. } => ErrorCode::PeerLost,
        StreamError::IdleTimeout { .. } => ErrorCode::RunnerHung,
        StreamError::Closed { .. } => ErrorCode::RunnerLost,
        StreamError::Gap { .. } | StreamError::Overrun { .. } | StreamError::Undecodable { .. } => ErrorCode::Internal,
    };
    chunk(code, format!("{error}; send the request again"))
}

fn chunk(code: ErrorCode, message: String) -> ErrorChunk {
    ErrorChunk { code, message }
}
