//! Answers on their way from a runner to those who asked.
//!
//! Each has a bounded buffer and a task that empties it into the client's stream. The driver only puts into buffers,
//! never waits: a client that is too slow loses its own answer and nothing else.

use crate::cause::Cause;
use exo_bus::{IncomingStream, StreamSender};
use exo_types::{ErrorChunk, ErrorCode, GenerateRequest, RequestId, RunnerId, StreamChunk};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;

/// Chunks that wait for a slow client: at 100 tokens a second, ten seconds of it on top of the stream's own window.
const BUFFER: usize = 1024;

/// The runner ends a late request itself; this much later the worker does.
const DEADLINE_GRACE: Duration = Duration::from_secs(2);

/// What a client sends and gets.
pub(crate) type Stream = IncomingStream<GenerateRequest, StreamChunk>;

struct Answer {
    runner_id: RunnerId,
    /// Distinguishes answers to requests that share an id.
    number: u64,
    chunks: mpsc::Sender<StreamChunk>,
    verdict: Arc<OnceLock<ErrorChunk>>,
}

/// All answers under way.
pub(crate) struct Answers {
    causes: mpsc::Sender<Cause>,
    tasks: TaskTracker,
    open: BTreeMap<RequestId, Answer>,
    next_number: u64,
}

impl Answers {
    pub(crate) fn new(causes: mpsc::Sender<Cause>) -> Self {
        Self { causes, tasks: TaskTracker::new(), open: BTreeMap::new(), next_number: 1 }
    }

    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    pub(crate) fn contains(&self, request_id: &RequestId) -> bool {
        self.open.contains_key(request_id)
    }

    /// Begins to carry an answer.
    pub(crate) fn open(&mut self, stream: Stream, runner_id: RunnerId) {
        let number = self.next_number;
        self.next_number += 1;
        let (chunks, buffer) = mpsc::channel(BUFFER);
        let verdict = Arc::new(OnceLock::new());
        let request_id = stream.open.request_id.clone();
        let deadline = Instant::now() + Duration::from_millis(stream.open.deadline_ms).min(FAR) + DEADLINE_GRACE;
        let carrier = Carrier { buffer, verdict: verdict.clone(), sender: stream.sender, deadline };
        let unwanted = Cause::Unwanted(request_id.clone(), number);
        let causes = self.causes.clone();
        self.tasks.spawn(async move {
            if !carrier.carry().await {
                // The driver ends with all of this when it does not take causes any more.
                let _ = causes.send(unwanted).await;
            }
        });
        self.open.insert(request_id, Answer { runner_id, number, chunks, verdict });
    }

    /// Refuses a stream that was never begun.
    pub(crate) fn refuse(&self, mut stream: Stream, error: ErrorChunk) {
        tracing::info!(request = %stream.open.request_id, code = error.code.as_str(), "a request is refused");
        self.tasks.spawn(async move {
            if stream.sender.send(&StreamChunk::Error(error)).await.is_ok() {
                stream.sender.finish();
            }
        });
    }

    /// Puts a chunk into its buffer. False if nobody wants it: then its request is to be cancelled.
    pub(crate) fn push(&mut self, request_id: &RequestId, chunk: StreamChunk) -> bool {
        let Some(answer) = self.open.get(request_id) else { return false };
        let is_last = is_last(&chunk);
        match answer.chunks.try_send(chunk) {
            Ok(()) => {
                if is_last {
                    self.open.remove(request_id);
                }
                true
            }
            Err(_) => {
                let message =
                    "the client took its answer too slowly, so it was cut; read the stream as it comes".to_owned();
                self.end(request_id, ErrorChunk { code: ErrorCode::Overloaded, message });
                false
            }
        }
    }

    /// Ends one answer badly, behind the chunks that it has.
    pub(crate) fn end(&mut self, request_id: &RequestId, error: ErrorChunk) {
        if let Some(answer) = self.open.remove(request_id) {
            tracing::warn!(request = %request_id, code = error.code.as_str(), "an answer ends early");
            // Set once: an answer is removed when it ends.
            let _ = answer.verdict.set(error);
        }
    }

    /// Ends every answer of a runner; which they were.
    pub(crate) fn end_of_runner(&mut self, runner_id: &RunnerId, error: &ErrorChunk) -> Vec<RequestId> {
        let of_runner = self.open.iter().filter(|(_, answer)| answer.runner_id == *runner_id);
        let ids: Vec<_> = of_runner.map(|(request_id, _)| request_id.clone()).collect();
        ids.iter().for_each(|request_id| self.end(request_id, error.clone()));
        ids
    }

    /// Ends everything; for the end of the worker.
    pub(crate) fn end_all(&mut self, error: &ErrorChunk) {
        let ids: Vec<_> = self.open.keys().cloned().collect();
        ids.iter().for_each(|request_id| self.end(request_id, error.clone()));
    }

    /// Forgets an answer that nobody wants; its runner, if it was still being made.
    pub(crate) fn forget(&mut self, request_id: &RequestId, number: u64) -> Option<RunnerId> {
        let is_it = self.open.get(request_id).is_some_and(|answer| answer.number == number);
        if is_it { self.open.remove(request_id).map(|answer| answer.runner_id) } else { None }
    }

    /// Waits until every answer has left.
    pub(crate) async fn drained(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// A deadline beyond this is none.
const FAR: Duration = Duration::from_secs(1 << 30);

struct Carrier {
    buffer: mpsc::Receiver<StreamChunk>,
    verdict: Arc<OnceLock<ErrorChunk>>,
    sender: StreamSender<StreamChunk>,
    deadline: Instant,
}

impl Carrier {
    /// Carries to the end; false if the client went away before it.
    async fn carry(mut self) -> bool {
        match timeout_at(self.deadline, self.forward()).await {
            Ok(Ok(())) => {
                self.sender.finish();
                true
            }
            Ok(Err(())) => false,
            Err(_) => {
                let message = "the runner did not end the answer by its deadline".to_owned();
                let late = StreamChunk::Error(ErrorChunk { code: ErrorCode::DeadlineExceeded, message });
                if timeout_at(Instant::now() + DEADLINE_GRACE, self.sender.send(&late))
                    .await
                    .is_ok_and(|sent| sent.is_ok())
                {
                    self.sender.finish();
                }
                false
            }
        }
    }

    async fn forward(&mut self) -> Result<(), ()> {
        loop {
            let chunk = tokio::select! {
                biased;
                chunk = self.buffer.recv() => chunk,
                () = self.sender.cancelled() => return Err(()),
            };
            let chunk = chunk.unwrap_or_else(|| StreamChunk::Error(self.verdict()));
            self.sender.send(&chunk).await.map_err(|_| ())?;
            if is_last(&chunk) {
                return Ok(());
            }
        }
    }

    fn verdict(&self) -> ErrorChunk {
        let unsaid = || ErrorChunk { code: ErrorCode::ShuttingDown, message: "the worker ended; ask again".to_owned() };
        self.verdict.get().cloned().unwrap_or_else(unsaid)
    }
}

fn is_last(chunk: &StreamChunk) -> bool {
    match chunk {
        StreamChunk::Token(token) => token.finish_reason.is_some(),
        StreamChunk::Embedding(_) | StreamChunk::Error(_) => true,
        StreamChunk::PrefillProgress(_) => false,
    }
}
