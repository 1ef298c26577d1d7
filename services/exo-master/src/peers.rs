//! Carries the replicated log between masters, over the bus.

use bytes::Bytes;
use exo_bus::{Bus, BusError, Incoming, RecvError, RequestError, topics};
use exo_log::{EventLog, PeerCallError, PeerTransport};
use exo_types::{Blob, NodeId};
use futures::FutureExt;
use futures::future::BoxFuture;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;

/// Requests of peers that are answered at a time; more than a round of a session of five needs.
const AT_A_TIME: usize = 64;

/// Asks peers.
pub(crate) struct BusPeers {
    bus: Bus,
}

impl BusPeers {
    pub(crate) fn new(bus: Bus) -> Self {
        Self { bus }
    }
}

impl PeerTransport for BusPeers {
    fn call(&self, to: &NodeId, request: Bytes, within: Duration) -> BoxFuture<'_, Result<Bytes, PeerCallError>> {
        let to = to.clone();
        async move {
            let answer = self.bus.request(topics::RAFT, &to, &Blob(request.into()), within).await;
            answer.map(|blob| Bytes::from(blob.0)).map_err(|error| match error {
                RequestError::Timeout { .. } => PeerCallError::Timeout,
                other => PeerCallError::Unreachable(other.to_string()),
            })
        }
        .boxed()
    }
}

/// The log that peers' requests are for.
#[derive(Clone, Default)]
pub(crate) struct Addressee(Arc<Mutex<Option<EventLog>>>);

impl Addressee {
    pub(crate) fn set(&self, log: Option<EventLog>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = log;
    }

    fn get(&self) -> Option<EventLog> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Answers peers, apart from the master's loop: an answer must never wait for a decision. Ends when it is dropped.
pub(crate) struct PeerServer {
    _task: JoinSet<()>,
}

impl PeerServer {
    pub(crate) async fn start(bus: &Bus, addressee: Addressee) -> Result<Self, BusError> {
        let mut requests = bus.serve(topics::RAFT).await?;
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut answers: JoinSet<()> = JoinSet::new();
            loop {
                tokio::select! {
                    biased;
                    Some(_ended) = answers.join_next() => {}
                    incoming = requests.recv(), if answers.len() < AT_A_TIME => match incoming {
                        Ok(incoming) => {
                            answers.spawn(answer(addressee.clone(), incoming));
                        }
                        Err(RecvError::Closed) => return,
                        Err(error) => tracing::debug!(%error, "a request of a peer's log cannot be read"),
                    },
                }
            }
        });
        Ok(Self { _task: task })
    }
}

async fn answer(addressee: Addressee, incoming: Incoming<Blob, Blob>) {
    let Incoming { request, from, responder } = incoming;
    let Some(log) = addressee.get() else {
        return responder.refuse("this master belongs to no session yet");
    };
    let answer = log.on_peer(&from, Bytes::from(request.0)).await;
    if let Err(error) = responder.reply(&Blob(answer.into())) {
        tracing::debug!(%error, "an answer to a peer's log could not be sent");
    }
}
