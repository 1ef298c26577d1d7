//! [`Transport`] over a zenoh session.

use super::outbox::Outbox;
use super::own_readers::OwnReaders;
use super::seal::{Place, SIGNATURE, SealError};
use super::session::failed;
use super::tunnel::{Asked, Driver, Handle, Shared};
use crate::error::BusError;
use crate::keys::{self, Reader, reader_of};
use crate::links::LinkReport;
use crate::transport::{Answer, CallError, Deliver, Registration, Reply, Sighting, Transport, TransportError, Witness};
use bytes::Bytes;
use exo_types::NodeId;
use futures::FutureExt;
use futures::future::BoxFuture;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use zenoh::bytes::ZBytes;
use zenoh::internal::runtime::Runtime;
use zenoh::qos::CongestionControl;
use zenoh::query::{ConsolidationMode, Query, QueryTarget};
use zenoh::sample::{Locality, SampleKind};
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
    own_readers: Arc<OwnReaders>,
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
            own_readers: Arc::default(),
            discovery: Mutex::new(discovery),
            links,
            closed: Mutex::new(Some(closed)),
        })
    }

    /// What is under the seals, for members of a test that do not behave.
    #[cfg(test)]
    pub fn unsealed(&self) -> Session {
        self.session.clone()
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
        let until = Instant::now() + deadline;
        match self.links.shared.calls.ask(key, &bytes, until).await {
            Asked::Answered(answer) => Ok(answer),
            Asked::Failed(error) => Err(error),
            Asked::Unknown => self.find(key, bytes, until).await,
        }
    }

    /// Asks whoever answers the key, wherever it is.
    async fn find(&self, key: &str, bytes: Bytes, until: Instant) -> Result<Bytes, CallError> {
        match timeout_at(until, self.outbox.ready()).await {
            Ok(ready) => ready.map_err(|_| CallError::Closed)?,
            Err(_) => return Err(CallError::Timeout),
        }
        let (sender, answer) = oneshot::channel();
        let sender = Mutex::new(Some(sender));
        let (unprefixed, shared) = (key.to_owned(), self.links.shared.clone());
        let (reader, key) = (reader_of(key), self.key(key));
        let deadline = until.saturating_duration_since(Instant::now());
        let ask = move |session: &Session| {
            let question = shared.seals.seal(Place::on(&key, &reader), &bytes);
            let (asked_of, of) = (key.clone(), question.clone());
            // zenoh drops the callback when nobody can answer any more; the channel tells us so.
            let on_reply = move |reply: zenoh::query::Reply| {
                let Ok(sample) = reply.into_result() else { return };
                let asker = shared.seals.own();
                let place = Place::answer(&asked_of, &of, &asker);
                let Some((process, bytes)) = shared.open(place, &bytes_of(sample.payload())) else { return };
                if let Reader::Node(node) = &reader {
                    shared.calls.learn(&unprefixed, node, process);
                }
                let first = sender.lock().expect("no code panics while it holds this lock").take();
                if let Some(first) = first {
                    let _gave_up = first.send(bytes);
                }
            };
            let asked = session
                .get(key)
                .payload(question)
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
        match timeout_at(until, answer).await {
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

/// A presence is all in its key; so is its seal, as the last segment.
fn seal_presence(shared: &Shared, key: &str) -> String {
    match keys::node_of_presence(key) {
        Some(_) => format!("{key}/{}", keys::hex(&shared.seals.sign(Place::on(key, &Reader::Everybody), &[]))),
        None => key.to_owned(),
    }
}

/// The key without its seal, if the node that it names has signed it. The end of one that is not believed any more,
/// because its node was thrown out, is nobody's fault.
fn open_presence(shared: &Shared, sealed: &str, kind: SampleKind) -> Option<String> {
    if keys::node_of_presence(sealed).is_none() {
        return Some(sealed.to_owned());
    }
    let (key, seal) = sealed.rsplit_once('/')?;
    let (node, seal) = (keys::node_of_presence(key)?, keys::unhex(seal).filter(|seal| seal.len() == SIGNATURE)?);
    let is_signed = shared.seals.has_signed(&node, Place::on(key, &Reader::Everybody), &[], &seal);
    if !is_signed && kind == SampleKind::Put {
        shared.refuse_message(&SealError::NotSealed { claimed: node });
    }
    is_signed.then(|| key.to_owned())
}

/// Hands a question over; the answer leaves by the outbox. What is not the question of whom it names is not answered.
fn hand_over(answer: &Answer, outbox: &Outbox, shared: &Arc<Shared>, place: Place<'_>, query: Query) {
    let question = query.payload().map(bytes_of).unwrap_or_default();
    let Some((asker, bytes)) = shared.open(place, &question) else { return };
    let (outbox, shared, asked_of, asker) =
        (outbox.clone(), shared.clone(), place.key.to_owned(), Reader::Process(asker));
    let reply = move |bytes: Bytes| {
        let send = move |_: &Session| {
            let key = query.key_expr().clone();
            let place = Place::answer(&asked_of, &question, &asker);
            let bytes = shared.seals.seal(place, &bytes);
            let sent = query.reply(key, bytes).express(true).wait();
            if let Err(error) = sent {
                tracing::debug!(%error, "an answer did not leave");
            }
        };
        let _closed = outbox.push(send);
    };
    answer(bytes, Reply::new(reply));
}

/// Something is to come from a node.
struct Awaited {
    shared: Arc<Shared>,
    node: NodeId,
}

impl Drop for Awaited {
    fn drop(&mut self) {
        self.shared.attention.send_if_modified(|attention| attention.end_to_await(&self.node));
    }
}

impl Transport for ZenohTransport {
    fn ready(&self) -> BoxFuture<'_, Result<(), TransportError>> {
        self.outbox.ready().boxed()
    }

    fn put(&self, key: &str, bytes: Bytes) -> Result<(), TransportError> {
        let (reader, key) = (reader_of(key), self.key(key));
        let (shared, own_readers) = (self.links.shared.clone(), self.own_readers.clone());
        self.outbox.push(move |session| {
            own_readers.deliver(&key, &bytes);
            let bytes = shared.seals.seal(Place::on(&key, &reader), &bytes);
            let put = session.put(key, bytes).congestion_control(CongestionControl::Block).express(true);
            let put = put.allowed_destination(Locality::Remote).wait();
            if let Err(error) = put {
                tracing::debug!(%error, "a message did not leave");
            }
        })
    }

    fn subscribe<'a>(&'a self, key: &'a str, deliver: Deliver) -> BoxFuture<'a, Result<Registration, TransportError>> {
        async move {
            let (reader, key, shared) = (reader_of(key), self.key(key), self.links.shared.clone());
            let reading = self.own_readers.add(&key, deliver.clone());
            let place = key.clone();
            let subscriber = self
                .session
                .declare_subscriber(key)
                .allowed_origin(Locality::Remote)
                .callback(move |sample| {
                    if sample.kind() == SampleKind::Put
                        && let Some((_, bytes)) = shared.open(Place::on(&place, &reader), &bytes_of(sample.payload()))
                    {
                        deliver(bytes);
                    }
                })
                .await
                .map_err(told("subscribe"))?;
            Ok(Registration::new((subscriber, reading)))
        }
        .boxed()
    }

    fn call<'a>(&'a self, key: &'a str, bytes: Bytes, deadline: Duration) -> BoxFuture<'a, Result<Bytes, CallError>> {
        self.call(key, bytes, deadline).boxed()
    }

    fn answer<'a>(&'a self, key: &'a str, answer: Answer) -> BoxFuture<'a, Result<Registration, TransportError>> {
        let (outbox, shared) = (self.outbox.clone(), self.links.shared.clone());
        async move {
            let direct = shared.calls.answer(key, answer.clone());
            let (reader, key) = (reader_of(key), self.key(key));
            let place = key.clone();
            let queryable = self
                .session
                .declare_queryable(key)
                .callback(move |query| hand_over(&answer, &outbox, &shared, Place::on(&place, &reader), query))
                .await
                .map_err(told("serve"))?;
            Ok(Registration::new((queryable, direct)))
        }
        .boxed()
    }

    fn declare<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Registration, TransportError>> {
        async move {
            let sealed = seal_presence(&self.links.shared, key);
            let token = self.session.liveliness().declare_token(self.key(&sealed)).await.map_err(told("announce"))?;
            Ok(Registration::new(token))
        }
        .boxed()
    }

    fn watch<'a>(&'a self, prefix: &'a str, witness: Witness) -> BoxFuture<'a, Result<Registration, TransportError>> {
        let (skipped, shared) = (self.prefix.len(), self.links.shared.clone());
        let watching = shared.sightings.watch(witness);
        async move {
            let sighting = move |sample: zenoh::sample::Sample| {
                let Some(sealed) = sample.key_expr().as_str().get(skipped..) else { return };
                let Some(key) = open_presence(&shared, sealed, sample.kind()) else { return };
                let sighting = match sample.kind() {
                    SampleKind::Put => Sighting::Appeared(key),
                    SampleKind::Delete => Sighting::Gone(key),
                };
                shared.sightings.on_told(&watching, sighting);
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

    fn follow(&self, leader: Option<&NodeId>) {
        self.links.shared.attention.send_if_modified(|attention| attention.follow(leader));
    }

    fn await_from(&self, node: &NodeId) -> Registration {
        let (shared, node) = (self.links.shared.clone(), node.clone());
        shared.attention.send_if_modified(|attention| attention.begin_to_await(&node));
        Registration::new(Awaited { shared, node })
    }

    fn link_changes(&self) -> watch::Receiver<()> {
        self.links.shared.changes()
    }
}
