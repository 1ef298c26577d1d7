//! [`Transport`] over a zenoh session.

use super::outbox::Outbox;
use super::session::failed;
use super::tunnel::{Driver, Handle, Shared};
use crate::error::BusError;
use crate::links::LinkReport;
use crate::transport::{Answer, CallError, Deliver, Registration, Reply, Sighting, Transport, TransportError, Witness};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use zenoh::bytes::ZBytes;
use zenoh::internal::runtime::Runtime;
use zenoh::qos::CongestionControl;
use zenoh::query::{ConsolidationMode, Query, QueryTarget};
use zenoh::sample::SampleKind;
use zenoh::{Session, Wait};

/// How long leaving may take: the others notice anyway.
const FAREWELL: Duration = Duration::from_secs(2);

/// zenoh's last bytes need so long to leave by the tunnel.
const LAST_BYTES: Duration = Duration::from_millis(300);

/// The tunnel while it runs. Dropped, every link is cut.
pub(super) struct Links {
    shared: Arc<Shared>,
    handle: Handle,
    stop: CancellationToken,
    driver: Mutex<JoinSet<()>>,
}

impl Links {
    /// Starts it.
    pub fn start(shared: Arc<Shared>, listeners: Vec<TcpListener>, statics: &[String]) -> Self {
        let stop = CancellationToken::new();
        let (driver, handle) = Driver::new(shared.clone(), listeners, statics, stop.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(driver.run());
        Self { shared, handle, stop, driver: Mutex::new(tasks) }
    }

    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// After zenoh has closed its sides.
    async fn end(&self) {
        self.stop.cancel();
        let mut driver = std::mem::take(&mut *self.driver.lock().expect("no code panics while it holds this lock"));
        let _cut = tokio::time::timeout(LAST_BYTES, driver.join_next()).await;
    }
}

pub(super) struct ZenohTransport {
    /// `exo/<namespace>/`: stands before every key.
    prefix: String,
    session: Session,
    outbox: Outbox,
    /// Ends discovery.
    discovery: Mutex<JoinSet<()>>,
    links: Links,
    /// Resolves when the session and its links are closed.
    closed: Mutex<Option<oneshot::Receiver<()>>>,
}

impl ZenohTransport {
    pub fn new(
        namespace: &str,
        runtime: Runtime,
        session: Session,
        discovery: JoinSet<()>,
        links: Links,
    ) -> Result<Self, BusError> {
        let (closing, closed) = oneshot::channel();
        let last = move |session: Session| {
            let session_closed = session.close().wait();
            let runtime_closed = runtime.close().wait();
            if let Err(error) = session_closed.and(runtime_closed) {
                tracing::debug!(%error, "leaving the bus");
            }
            let _nobody_waits = closing.send(());
        };
        let outbox = Outbox::start(session.clone(), last).map_err(|error| failed("start its thread", &error))?;
        Ok(Self {
            prefix: format!("exo/{namespace}/"),
            session,
            outbox,
            discovery: Mutex::new(discovery),
            links,
            closed: Mutex::new(Some(closed)),
        })
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    fn stop(&self) {
        self.links.stop.cancel();
        self.discovery.lock().expect("no code panics while it holds this lock").abort_all();
        self.outbox.close();
    }

    async fn call(&self, key: &str, bytes: Bytes, deadline: Duration) -> Result<Bytes, CallError> {
        match tokio::time::timeout(deadline, self.outbox.ready()).await {
            Ok(ready) => ready.map_err(|_| CallError::Closed)?,
            Err(_) => return Err(CallError::Timeout),
        }
        let (sender, answer) = oneshot::channel();
        let sender = Mutex::new(Some(sender));
        let key = self.key(key);
        let ask = move |session: &Session| {
            // zenoh drops the callback when nobody can answer any more; the channel tells us so.
            let on_reply = move |reply: zenoh::query::Reply| {
                let Ok(sample) = reply.into_result() else { return };
                let first = sender.lock().expect("no code panics while it holds this lock").take();
                if let Some(first) = first {
                    let _gave_up = first.send(bytes_of(sample.payload()));
                }
            };
            let asked = session
                .get(key)
                .payload(bytes)
                .target(QueryTarget::All)
                .consolidation(ConsolidationMode::None)
                .congestion_control(CongestionControl::Block)
                .express(true)
                // Ours passes first, so that it is told from nobody being there.
                .timeout(deadline + Duration::from_secs(1))
                .callback(on_reply)
                .wait();
            if let Err(error) = asked {
                tracing::debug!(%error, "a question did not leave");
            }
        };
        self.outbox.push(ask).map_err(|_| CallError::Closed)?;
        match tokio::time::timeout(deadline, answer).await {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(_)) => Err(CallError::Nobody),
            Err(_) => Err(CallError::Timeout),
        }
    }
}

impl Drop for ZenohTransport {
    fn drop(&mut self) {
        self.stop();
    }
}

fn bytes_of(payload: &ZBytes) -> Bytes {
    Bytes::from(payload.to_bytes().into_owned())
}

fn told(action: &'static str) -> impl Fn(zenoh::Error) -> TransportError {
    move |error| TransportError::Failed { action, reason: error.to_string() }
}

/// Hands a question over; the answer leaves by the outbox.
fn hand_over(answer: &Answer, outbox: &Outbox, query: Query) {
    let bytes = query.payload().map(bytes_of).unwrap_or_default();
    let outbox = outbox.clone();
    let reply = move |bytes: Bytes| {
        let send = move |_: &Session| {
            let key = query.key_expr().clone();
            let sent = query.reply(key, bytes).express(true).wait();
            if let Err(error) = sent {
                tracing::debug!(%error, "an answer did not leave");
            }
        };
        let _closed = outbox.push(send);
    };
    answer(bytes, Reply::new(reply));
}

impl Transport for ZenohTransport {
    fn ready(&self) -> BoxFuture<'_, Result<(), TransportError>> {
        self.outbox.ready().boxed()
    }

    fn put(&self, key: &str, bytes: Bytes) -> Result<(), TransportError> {
        let key = self.key(key);
        self.outbox.push(move |session| {
            let put = session.put(key, bytes).congestion_control(CongestionControl::Block).express(true).wait();
            if let Err(error) = put {
                tracing::debug!(%error, "a message did not leave");
            }
        })
    }

    fn subscribe<'a>(&'a self, key: &'a str, deliver: Deliver) -> BoxFuture<'a, Result<Registration, TransportError>> {
        async move {
            let subscriber = self
                .session
                .declare_subscriber(self.key(key))
                .callback(move |sample| {
                    if sample.kind() == SampleKind::Put {
                        deliver(bytes_of(sample.payload()));
                    }
                })
                .await
                .map_err(told("subscribe"))?;
            Ok(Registration::new(subscriber))
        }
        .boxed()
    }

    fn call<'a>(&'a self, key: &'a str, bytes: Bytes, deadline: Duration) -> BoxFuture<'a, Result<Bytes, CallError>> {
        self.call(key, bytes, deadline).boxed()
    }

    fn answer<'a>(&'a self, key: &'a str, answer: Answer) -> BoxFuture<'a, Result<Registration, TransportError>> {
        let outbox = self.outbox.clone();
        async move {
            let queryable = self
                .session
                .declare_queryable(self.key(key))
                .callback(move |query| hand_over(&answer, &outbox, query))
                .await
                .map_err(told("serve"))?;
            Ok(Registration::new(queryable))
        }
        .boxed()
    }

    fn declare<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Registration, TransportError>> {
        async move {
            let token = self.session.liveliness().declare_token(self.key(key)).await.map_err(told("announce"))?;
            Ok(Registration::new(token))
        }
        .boxed()
    }

    fn watch<'a>(&'a self, prefix: &'a str, witness: Witness) -> BoxFuture<'a, Result<Registration, TransportError>> {
        let skipped = self.prefix.len();
        async move {
            let sighting = move |sample: zenoh::sample::Sample| {
                let Some(key) = sample.key_expr().as_str().get(skipped..).map(str::to_owned) else { return };
                witness(match sample.kind() {
                    SampleKind::Put => Sighting::Appeared(key),
                    SampleKind::Delete => Sighting::Gone(key),
                });
            };
            let watch = self
                .session
                .liveliness()
                .declare_subscriber(self.key(&format!("{prefix}/**")))
                .history(true)
                .callback(sighting)
                .await
                .map_err(told("watch"))?;
            Ok(Registration::new(watch))
        }
        .boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async {
            self.stop();
            let closed = self.closed.lock().expect("no code panics while it holds this lock").take();
            if let Some(closed) = closed
                && tokio::time::timeout(FAREWELL, closed).await.is_err()
            {
                tracing::debug!("leaving the bus takes long; the others will notice by themselves");
            }
            self.links.end().await;
        }
        .boxed()
    }

    fn links(&self) -> LinkReport {
        self.links.shared.report()
    }
}
