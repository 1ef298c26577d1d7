//! One generation: where it runs, and its pieces as they come. When its runner is lost it goes on with the next one,
//! behind the tokens that were told: the client sees a pause.

mod beginnings;
mod losses;
mod route;

use crate::app::{App, unix_seconds};
use crate::streams::StreamGuard;
use beginnings::Beginning;
pub(crate) use beginnings::Beginnings;
use exo_bus::{OpenError, StreamError, StreamReceiver, topics};
use exo_http::{Permit, Request};
use exo_node::View;
use exo_types::{AnsweredTokens, ErrorChunk, ErrorCode, GenerateRequest, InstanceId, NodeId, RequestId, StreamChunk};
use exo_wire::{ApiError, TextRequest};
use losses::{Losses, is_loss};
use route::{can_come_back, candidates, is_candidate};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// How long a worker may take to say that it takes a request.
const OPEN_DEADLINE: Duration = Duration::from_secs(10);

/// How long a request that nobody took yet waits for a placed model that is not ready: a runner that crashed is replaced
/// sooner than this, and the next request must not need anyone's help. What takes longer is told to the client. One
/// that lost its runner waits until its deadline.
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
    app: Arc<App>,
    view: watch::Receiver<View>,
    request_id: RequestId,
    text: TextRequest,
    beginning: Beginning,
    asked_at: u64,
    bounds: Bounds,
    guard: StreamGuard,
    /// Until when a runner is waited for.
    patience: Instant,
    first: Option<Result<StreamChunk, ApiError>>,
    /// Where pieces come from; none while a runner is looked for.
    source: Option<Source>,
    /// Why the last one that was asked did not take it.
    refusal: Option<ApiError>,
    losses: Losses,
    /// What the client has.
    answered: AnsweredTokens,
    ended: bool,
}

/// A stream from a worker.
struct Source {
    receiver: StreamReceiver<StreamChunk>,
    /// Whether anything came: before, an error means that the request was not taken.
    has_begun: bool,
}

/// What a stream said.
enum Heard {
    Piece(StreamChunk),
    /// The runner is gone.
    Loss(ErrorChunk),
    /// The worker does not take it now.
    Refusal(ErrorChunk),
    End,
}

/// Starts a generation and waits a moment for its first piece. While nothing was said yet, a model that is placed but
/// not ready is tried again for [`PATIENCE`].
pub(crate) async fn start(
    app: &Arc<App>,
    bounds: &Bounds,
    request_id: &RequestId,
    text: TextRequest,
) -> Result<Generation, ApiError> {
    route::check_task(&app.view(), &text)?;
    let mut generation = Generation::new(app.clone(), bounds.clone(), request_id.clone(), text);
    generation.limits().hold(generation.reach()).await?;
    match timeout_at(Instant::now() + FIRST_PIECE, generation.next()).await {
        Ok(Some(Err(error))) => Err(error),
        Ok(Some(Ok(StreamChunk::Error(error)))) => Err(ApiError::from(&error)),
        Ok(first) => {
            generation.first = first;
            Ok(generation)
        }
        Err(_not_yet) => Ok(generation),
    }
}

/// Whether the same request can succeed in a moment without anyone's help.
fn is_transient(error: &ApiError) -> bool {
    matches!(error.code, "not_ready" | "model_loading")
}

/// What ends every wait.
struct Limits {
    deadline: Instant,
    closing: CancellationToken,
    cancelled: CancellationToken,
}

impl Limits {
    /// Ends `work` when the client, the node or the clock says so.
    async fn hold<T>(self, work: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
        tokio::select! {
            biased;
            () = self.cancelled.cancelled() => Err(cancelled_by_client()),
            () = self.closing.cancelled() => Err(ApiError::from(&shutting_down())),
            worked = timeout_at(self.deadline, work) => worked.unwrap_or_else(|_| Err(ApiError::from(&too_late()))),
        }
    }
}

impl Generation {
    fn new(app: Arc<App>, bounds: Bounds, request_id: RequestId, text: TextRequest) -> Self {
        Self {
            view: app.node.view(),
            guard: app.streams.enter(request_id.clone()),
            app,
            request_id,
            beginning: Beginning::of(&text),
            text,
            asked_at: unix_seconds(),
            patience: bounds.deadline.min(Instant::now() + PATIENCE),
            bounds,
            first: None,
            source: None,
            refusal: None,
            losses: Losses::default(),
            answered: AnsweredTokens::default(),
            ended: false,
        }
    }

    /// The next piece, or why there is none; `None` after the end. Cancelling the wait loses nothing.
    pub async fn next(&mut self) -> Option<Result<StreamChunk, ApiError>> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        if self.ended {
            return None;
        }
        let next = self.limits().hold(self.piece()).await.transpose();
        self.account(next.as_ref());
        next
    }

    fn limits(&self) -> Limits {
        let Bounds { deadline, closing, .. } = &self.bounds;
        Limits { deadline: *deadline, closing: closing.clone(), cancelled: self.guard.cancelled.clone() }
    }

    /// The next piece for the client, from whichever runner.
    async fn piece(&mut self) -> Result<Option<StreamChunk>, ApiError> {
        loop {
            self.reach().await?;
            match self.hear().await {
                Heard::End => return Ok(None),
                // The prompt was read before.
                Heard::Piece(StreamChunk::PrefillProgress(_)) if !self.answered.is_empty() => {}
                Heard::Piece(piece) => return Ok(Some(self.told(piece))),
                Heard::Refusal(refusal) => self.leave(ApiError::from(&refusal)),
                Heard::Loss(loss) => {
                    tracing::warn!(request = %self.request_id, code = loss.code.as_str(), "an answer lost its runner");
                    self.leave(ApiError::from(&loss));
                    self.patience = self.bounds.deadline;
                    self.losses.on_loss(loss).map_err(|end| ApiError::from(&end))?;
                }
            }
        }
    }

    fn told(&mut self, piece: StreamChunk) -> StreamChunk {
        if let StreamChunk::Token(token) = &piece {
            self.answered.0.extend(&token.token_ids);
            self.losses.on_token();
        }
        piece
    }

    fn leave(&mut self, why: ApiError) {
        (self.source, self.refusal) = (None, Some(why));
    }

    /// Waits until a worker has the request.
    async fn reach(&mut self) -> Result<(), ApiError> {
        while self.source.is_none() {
            if let Some(refusal) = self.refusal.take() {
                self.pause(refusal).await?;
            }
            self.view.mark_unchanged();
            match self.open_any().await {
                Ok(receiver) => self.source = Some(Source { receiver, has_begun: false }),
                Err(error) if is_transient(&error) || self.losses.any() => self.refusal = Some(error),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits for a change, if there is any hope.
    async fn pause(&mut self, refusal: ApiError) -> Result<(), ApiError> {
        let now = Instant::now();
        let hope = can_come_back(&self.app.view(), &self.text.model);
        self.losses.on_wait(now, hope).map_err(|end| ApiError::from(&end))?;
        if now >= self.patience {
            return Err(refusal);
        }
        let until = self.patience.min(now + PAUSE);
        // Without a fold there is no change to wait for.
        if let Ok(Err(_gone)) = timeout_at(until, self.view.changed()).await {
            tokio::time::sleep_until(until).await;
        }
        Ok(())
    }

    /// Opens a stream to the best instance; if its node is gone, to the next.
    async fn open_any(&mut self) -> Result<StreamReceiver<StreamChunk>, ApiError> {
        let candidates = candidates(&self.app, &self.text.model, &self.beginning)?;
        let mut last_error = None;
        for (instance, node) in candidates {
            if !is_candidate(&self.app.view(), &instance) {
                continue;
            }
            match self.open(&instance, &node).await {
                Ok(receiver) => {
                    self.app.beginnings.note(&self.beginning, &instance);
                    return Ok(receiver);
                }
                Err(error) => {
                    tracing::warn!(%instance, %node, %error, "a worker does not take a request");
                    last_error = Some(error);
                }
            }
        }
        let reason = last_error.map_or_else(String::new, |error| format!(": {error}"));
        let message = format!("no node of model {} takes requests now{reason}; try again", self.text.model);
        Err(ApiError::new(503, "not_ready", message).retry_after(1))
    }

    async fn open(&self, instance: &InstanceId, node: &NodeId) -> Result<StreamReceiver<StreamChunk>, OpenError> {
        let left = self.bounds.deadline.saturating_duration_since(Instant::now());
        let deadline_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        self.guard.move_to(instance.clone());
        let generate = GenerateRequest {
            answered: self.answered.clone(),
            asked_at: Some(self.asked_at),
            ..self.text.clone().generate(self.request_id.clone(), instance.clone(), deadline_ms)
        };
        self.app.bus.open_stream(topics::GENERATE, node, &generate, OPEN_DEADLINE.min(left)).await
    }

    async fn hear(&mut self) -> Heard {
        let stall = self.app.config.api.stream_timeout;
        let is_resumed = !self.answered.is_empty() || self.losses.any();
        let Some(source) = &mut self.source else { return Heard::End };
        let heard = source.receiver.recv(stall).await;
        let was_taken = std::mem::replace(&mut source.has_begun, true);
        match heard {
            Ok(Some(StreamChunk::Error(error))) if !was_taken && is_refusal(error.code, is_resumed) => {
                Heard::Refusal(error)
            }
            Ok(Some(StreamChunk::Error(error))) if is_loss(error.code) => Heard::Loss(error),
            Ok(Some(piece)) => Heard::Piece(piece),
            Ok(None) => Heard::End,
            Err(error) => match broken(&error) {
                loss if is_loss(loss.code) => Heard::Loss(loss),
                defect => Heard::Piece(StreamChunk::Error(defect)),
            },
        }
    }

    fn account(&mut self, piece: Option<&Result<StreamChunk, ApiError>>) {
        match piece {
            Some(Ok(StreamChunk::Token(token))) if token.finish_reason.is_some() => {
                self.guard.on_finished(token.usage.unwrap_or_default());
                self.ended = true;
            }
            Some(Ok(StreamChunk::Embedding(embedding))) => {
                self.guard.on_finished(embedding.usage);
                self.ended = true;
            }
            Some(Ok(StreamChunk::Error(_)) | Err(_)) => {
                self.guard.on_failed();
                self.ended = true;
            }
            Some(Ok(_)) => {}
            None => self.ended = true,
        }
        if self.ended {
            self.source = None;
        }
    }
}

/// Whether a worker that says so at once may take the same request in a moment. One that goes on may come while its
/// predecessor is not forgotten yet, and together with all the others that were lost.
fn is_refusal(code: ErrorCode, is_resumed: bool) -> bool {
    match code {
        ErrorCode::NotReady => true,
        ErrorCode::Overloaded | ErrorCode::InvalidRequest | ErrorCode::ShuttingDown => is_resumed,
        _ => false,
    }
}

fn cancelled_by_client() -> ApiError {
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
