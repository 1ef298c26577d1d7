//! All streams of one process, and where their frames go. Called from the transport's threads; never waits.

use super::WINDOW;
use crate::envelope::{Envelope, Header, Kind};
use crate::names::ProcessId;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How the sending side ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    Finished,
    Failed(String),
    Lost,
    Gap { expected: u64, got: u64 },
    Overrun,
}

/// The receiving side: what came and was not taken yet.
#[derive(Default)]
pub(crate) struct Inflow {
    inner: Mutex<InflowInner>,
    pub changed: Notify,
}

#[derive(Default)]
struct InflowInner {
    items: VecDeque<Bytes>,
    next: u64,
    ending: Option<Ending>,
    sender: Option<ProcessId>,
}

impl Inflow {
    /// The next item in order, or the end behind the last.
    pub fn take(&self) -> Option<Result<Bytes, Ending>> {
        let mut inner = self.lock();
        match inner.items.pop_front() {
            Some(item) => Some(Ok(item)),
            None => inner.ending.clone().map(Err),
        }
    }

    /// Ends it unless it has ended; what came before can still be taken.
    pub fn end(&self, ending: Ending) {
        self.lock().ending.get_or_insert(ending);
        self.changed.notify_one();
    }

    /// Frames of other processes are not ours.
    pub fn set_sender(&self, process: ProcessId) {
        self.lock().sender = Some(process);
    }

    fn is_from(&self, process: ProcessId) -> bool {
        self.lock().sender.is_none_or(|sender| sender == process)
    }

    fn on_item(&self, number: u64, body: Bytes) {
        let mut inner = self.lock();
        let repeated = number < inner.next;
        if inner.ending.is_some() || repeated {
            return;
        }
        if number > inner.next {
            inner.ending = Some(Ending::Gap { expected: inner.next, got: number });
        } else if inner.items.len() as u64 >= WINDOW {
            inner.ending = Some(Ending::Overrun);
        } else {
            inner.next += 1;
            inner.items.push_back(body);
        }
        drop(inner);
        self.changed.notify_one();
    }

    fn on_end(&self, count: u64, ending: Ending) {
        let expected = self.lock().next;
        self.end(if count == expected { ending } else { Ending::Gap { expected, got: count } });
    }

    fn lock(&self) -> MutexGuard<'_, InflowInner> {
        self.inner.lock().expect("no code panics while it holds this lock")
    }
}

/// The sending side: how much may leave, and whether anybody still wants it.
pub(crate) struct Outflow {
    allowed: Mutex<u64>,
    pub changed: Notify,
    /// Cancelled by the receiver, or the receiver is gone.
    pub over: CancellationToken,
    /// The receiver is gone.
    pub lost: CancellationToken,
}

impl Default for Outflow {
    fn default() -> Self {
        let over = CancellationToken::new();
        Self { allowed: Mutex::new(WINDOW), changed: Notify::new(), lost: CancellationToken::new(), over }
    }
}

impl Outflow {
    /// Items that may have been sent in all.
    pub fn allowed(&self) -> u64 {
        *self.allowed.lock().expect("no code panics while it holds this lock")
    }

    fn on_credit(&self, allowed: u64) {
        let mut current = self.allowed.lock().expect("no code panics while it holds this lock");
        *current = allowed.max(*current);
        drop(current);
        self.changed.notify_one();
    }

    fn on_lost(&self) {
        self.lost.cancel();
        self.over.cancel();
    }
}

/// Names a stream at its sender: who receives it, and the receiver's number for it.
pub(crate) type OutflowKey = (ProcessId, u64);

#[derive(Default)]
pub(crate) struct StreamTable {
    inner: Mutex<Table>,
    appeared: Notify,
}

#[derive(Default)]
struct Table {
    last: u64,
    inflows: BTreeMap<u64, Arc<Inflow>>,
    outflows: BTreeMap<OutflowKey, Arc<Outflow>>,
    alive: BTreeSet<ProcessId>,
    closed: bool,
}

impl StreamTable {
    /// A new stream to receive, with its number.
    pub fn new_inflow(&self) -> (u64, Arc<Inflow>) {
        let mut table = self.lock();
        let inflow = Arc::new(Inflow::default());
        if table.closed {
            inflow.end(Ending::Lost);
        }
        table.last += 1;
        let number = table.last;
        table.inflows.insert(number, inflow.clone());
        (number, inflow)
    }

    pub fn drop_inflow(&self, number: u64) {
        self.lock().inflows.remove(&number);
    }

    /// A new stream to send; none if the receiver uses the number already.
    pub fn new_outflow(&self, key: OutflowKey) -> Option<Arc<Outflow>> {
        let mut table = self.lock();
        if table.closed || table.outflows.contains_key(&key) {
            return None;
        }
        let outflow = Arc::new(Outflow::default());
        table.outflows.insert(key, outflow.clone());
        Some(outflow)
    }

    pub fn drop_outflow(&self, key: OutflowKey) {
        self.lock().outflows.remove(&key);
    }

    /// Resolves to whether the process was seen alive in time. Only whose life was seen can be seen to die.
    pub async fn wait_alive(&self, process: ProcessId, deadline: Duration) -> bool {
        let seen = async {
            loop {
                let appeared = self.appeared.notified();
                tokio::pin!(appeared);
                appeared.as_mut().enable();
                if self.is_alive(process) {
                    return;
                }
                appeared.await;
            }
        };
        tokio::time::timeout(deadline, seen).await.is_ok()
    }

    pub fn is_alive(&self, process: ProcessId) -> bool {
        self.lock().alive.contains(&process)
    }

    pub fn on_appeared(&self, process: ProcessId) {
        self.lock().alive.insert(process);
        self.appeared.notify_waiters();
    }

    pub fn on_gone(&self, process: ProcessId) {
        let mut table = self.lock();
        table.alive.remove(&process);
        for inflow in table.inflows.values() {
            let known = inflow.lock().sender == Some(process);
            if known {
                inflow.end(Ending::Lost);
            }
        }
        for ((receiver, _), outflow) in &table.outflows {
            if *receiver == process {
                outflow.on_lost();
            }
        }
    }

    /// Ends all streams.
    pub fn close(&self) {
        let mut table = self.lock();
        table.closed = true;
        table.inflows.values().for_each(|inflow| inflow.end(Ending::Lost));
        table.outflows.values().for_each(|outflow| outflow.on_lost());
    }

    /// Takes a frame in. Returns the number of a stream that nobody here receives and that goes on all the same.
    pub fn on_frame(&self, envelope: Envelope) -> Option<u64> {
        let Header { kind, process, stream, sequence, .. } = envelope.header;
        match kind {
            Kind::Item | Kind::End | Kind::Failed => {
                let inflow = self.lock().inflows.get(&stream).cloned();
                match inflow.filter(|inflow| inflow.is_from(process)) {
                    Some(inflow) => on_inflow(&inflow, kind, sequence, envelope),
                    None => return (kind == Kind::Item).then_some(stream),
                }
            }
            Kind::Credit | Kind::Cancel => {
                let outflow = self.lock().outflows.get(&(process, stream)).cloned();
                match outflow {
                    Some(outflow) if kind == Kind::Credit => outflow.on_credit(sequence),
                    Some(outflow) => outflow.over.cancel(),
                    None => {}
                }
            }
            kind => tracing::warn!(?kind, "not a frame of a stream"),
        }
        None
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.inner.lock().expect("no code panics while it holds this lock")
    }
}

fn on_inflow(inflow: &Inflow, kind: Kind, sequence: u64, envelope: Envelope) {
    match kind {
        Kind::Item => inflow.on_item(sequence, envelope.body),
        Kind::End => inflow.on_end(sequence, Ending::Finished),
        _ => {
            let reason = envelope.decode().unwrap_or_else(|error| format!("for a reason that cannot be read: {error}"));
            inflow.on_end(sequence, Ending::Failed(reason));
        }
    }
}
