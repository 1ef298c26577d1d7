//! Generations under way through this api.

use exo_types::{InstanceId, RequestId, Usage};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio_util::sync::CancellationToken;

/// Who is open, and what was done since the start.
#[derive(Default)]
pub(crate) struct Streams {
    open: Mutex<BTreeMap<RequestId, Open>>,
    pub(crate) counters: Counters,
}

struct Open {
    /// Where it runs; none before a worker is asked.
    instance: Option<InstanceId>,
    cancel: CancellationToken,
}

/// Numbers that only grow.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) started: AtomicU64,
    pub(crate) finished: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) prompt_tokens: AtomicU64,
    pub(crate) cached_tokens: AtomicU64,
    pub(crate) completion_tokens: AtomicU64,
}

/// A place among the open ones, until it is dropped.
pub(crate) struct StreamGuard {
    streams: Arc<Streams>,
    request: RequestId,
    pub(crate) cancelled: CancellationToken,
}

impl Streams {
    /// Opens one.
    pub(crate) fn enter(self: &Arc<Self>, request: RequestId) -> StreamGuard {
        let cancelled = CancellationToken::new();
        self.lock().insert(request.clone(), Open { instance: None, cancel: cancelled.clone() });
        self.counters.started.fetch_add(1, Ordering::Relaxed);
        StreamGuard { streams: self.clone(), request, cancelled }
    }

    /// How many are open on an instance.
    pub(crate) fn on(&self, instance: &InstanceId) -> usize {
        self.lock().values().filter(|open| open.instance.as_ref() == Some(instance)).count()
    }

    /// How many are open.
    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    /// Ends one; false if there is none of that name.
    pub(crate) fn cancel(&self, request: &RequestId) -> bool {
        self.lock().get(request).map(|open| open.cancel.cancel()).is_some()
    }

    /// Every change is one insertion or removal, so that a panic elsewhere leaves nothing half done.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<RequestId, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StreamGuard {
    /// It runs there from now on.
    pub(crate) fn move_to(&self, instance: InstanceId) {
        if let Some(open) = self.streams.lock().get_mut(&self.request) {
            open.instance = Some(instance);
        }
    }

    /// It came to its end.
    pub(crate) fn on_finished(&self, usage: Usage) {
        let counters = &self.streams.counters;
        counters.finished.fetch_add(1, Ordering::Relaxed);
        counters.prompt_tokens.fetch_add(u64::from(usage.prompt_tokens), Ordering::Relaxed);
        counters.cached_tokens.fetch_add(u64::from(usage.cached_tokens), Ordering::Relaxed);
        counters.completion_tokens.fetch_add(u64::from(usage.completion_tokens), Ordering::Relaxed);
    }

    /// It failed.
    pub(crate) fn on_failed(&self) {
        self.streams.counters.failed.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        self.streams.lock().remove(&self.request);
    }
}
