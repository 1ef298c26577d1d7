//! Questions and answers that go from process to process as frames of the link between them.
//!
//! zenoh finds whoever answers a key, wherever it is; a question through it wakes half a dozen threads each way. So the
//! first question on a key goes through zenoh, and the process that answered it is asked directly from then on, for as long
//! as it is linked and answers that key. TLS has shown which node is at the other end, so that nothing is sealed: what
//! names another node or process than the link's is refused. What a process asks of itself does not leave it.

mod desk;
mod message;

pub(super) use desk::Clerk;
pub(super) use message::{Assembler, Message};

use crate::names::ProcessId;
use crate::transport::{Answer, CallError, Reply};
use bytes::Bytes;
use desk::Desk;
use exo_types::NodeId;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

/// Keys whose process is remembered; more are no cluster but a flood.
const ROUTES: usize = 4096;

/// How a question fared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::zenoh) enum Asked {
    Answered(Bytes),
    Failed(CallError),
    /// Nobody is known to answer it here; it was not asked.
    Unknown,
}

/// What this process answers, and whom it asks.
#[derive(Default)]
pub(in crate::zenoh) struct Calls {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    answers: BTreeMap<String, (u64, Answer)>,
    registered: u64,
    desks: BTreeMap<ProcessId, Arc<Desk>>,
    routes: BTreeMap<String, ProcessId>,
}

/// Who is to be asked.
enum Route {
    Own(Answer),
    Other(Arc<Desk>),
}

impl Calls {
    /// Answers the key until the registration is dropped.
    pub fn answer(self: &Arc<Self>, key: &str, answer: Answer) -> Registered {
        let mut inner = self.inner();
        inner.registered += 1;
        let number = inner.registered;
        inner.answers.insert(key.to_owned(), (number, answer));
        Registered { calls: self.clone(), key: key.to_owned(), number }
    }

    /// That process answered on that key of that node: it is asked directly from now on, if its link shows that it is
    /// one of the node's.
    pub fn learn(&self, key: &str, node: &NodeId, process: ProcessId) {
        let mut inner = self.inner();
        if inner.desks.get(&process).is_none_or(|desk| desk.node() != node) {
            return;
        }
        if inner.routes.len() >= ROUTES {
            inner.routes.clear();
        }
        inner.routes.insert(key.to_owned(), process);
    }

    /// Asks whoever is known to answer the key.
    pub async fn ask(&self, key: &str, bytes: &Bytes, until: Instant) -> Asked {
        let Some(route) = self.inner().route(key) else { return Asked::Unknown };
        let asking = async {
            match route {
                Route::Own(answer) => ask_own(&answer, bytes.clone()).await,
                Route::Other(desk) => desk.ask(key, bytes.clone()).await,
            }
        };
        let asked = timeout_at(until, asking).await.unwrap_or(Asked::Failed(CallError::Timeout));
        if asked == Asked::Unknown {
            self.inner().routes.remove(key);
        }
        asked
    }

    /// A link to a process is there: who takes what comes by it, and what is to leave by it.
    pub(super) fn open(self: &Arc<Self>, process: ProcessId, node: NodeId) -> (Clerk, mpsc::Receiver<Message>) {
        let (desk, clerk, leaves) = desk::open(self.clone(), process, node);
        // A newer link replaces the older one, whose questions fail when it ends.
        self.inner().desks.insert(process, desk);
        (clerk, leaves)
    }

    /// The link is gone.
    fn close(&self, desk: &Arc<Desk>) {
        let mut inner = self.inner();
        let process = desk.process();
        if inner.desks.get(&process).is_some_and(|held| Arc::ptr_eq(held, desk)) {
            inner.desks.remove(&process);
            inner.routes.retain(|_, of| *of != process);
        }
    }

    /// What answers the key here.
    fn answerer(&self, key: &str) -> Option<Answer> {
        self.inner().answers.get(key).map(|(_, answer)| answer.clone())
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn route(&self, key: &str) -> Option<Route> {
        if let Some((_, answer)) = self.answers.get(key) {
            return Some(Route::Own(answer.clone()));
        }
        let desk = self.routes.get(key).and_then(|process| self.desks.get(process))?;
        Some(Route::Other(desk.clone()))
    }
}

async fn ask_own(answer: &Answer, bytes: Bytes) -> Asked {
    let (sender, answered) = oneshot::channel();
    let send = move |bytes| {
        let _gave_up = sender.send(bytes);
    };
    answer(bytes, Reply::new(send));
    answered.await.map_or(Asked::Failed(CallError::Nobody), Asked::Answered)
}

/// A key that is answered; not any more when this is dropped.
pub(in crate::zenoh) struct Registered {
    calls: Arc<Calls>,
    key: String,
    number: u64,
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut inner = self.calls.inner();
        // Another one may answer it by now.
        if inner.answers.get(&self.key).is_some_and(|(number, _)| *number == self.number) {
            inner.answers.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests;
