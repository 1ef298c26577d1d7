//! The handle that all parts of a process share.

use crate::envelope::{Draft, Envelope, Header, Kind};
use crate::error::{AnnounceError, BusError, OpenError, PublishError, RequestError};
use crate::keys;
use crate::links::LinkReport;
use crate::names::{Message, PresenceKind, ProcessId, Service, StreamService, Topic};
use crate::presence::{PresenceToken, PresenceWatch};
use crate::refusals::{FOREIGN_ID, OTHER_SESSION, Refusals};
use crate::request::Requests;
use crate::stream::{IncomingStreams, StreamReceiver, StreamTable};
use crate::subscription::Subscription;
use crate::transport::{CallError, Registration, Sighting, Transport, TransportError};
use bytes::Bytes;
use exo_types::NodeId;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A place on the bus. Cloning is cheap; the process leaves when it is closed or when the last handle, subscription,
/// server, watch and stream is dropped.
#[derive(Clone)]
pub struct Bus {
    shared: Arc<Shared>,
}

/// What all handles of one process share.
pub(crate) struct Shared {
    pub node: NodeId,
    pub process: ProcessId,
    pub transport: Arc<dyn Transport>,
    pub streams: Arc<StreamTable>,
    pub refusals: Arc<Refusals>,
    /// Ends every wait when the bus is closed.
    pub closed: CancellationToken,
    /// Next sequence number per topic; held while a message is handed over, so that numbers leave in order.
    topics: Mutex<BTreeMap<&'static str, u64>>,
    tokens: AtomicU64,
    /// Inbox, watch of processes and our own life, in this order.
    registrations: Mutex<Vec<Registration>>,
}

impl Bus {
    /// Joins through an adapter, as `node`; `process` is new with every call.
    pub async fn join(node: NodeId, process: ProcessId, transport: Arc<dyn Transport>) -> Result<Self, BusError> {
        let shared = Arc::new(Shared {
            node,
            process,
            streams: Arc::new(StreamTable::default()),
            refusals: Arc::default(),
            closed: CancellationToken::new(),
            topics: Mutex::default(),
            tokens: AtomicU64::default(),
            registrations: Mutex::default(),
            transport,
        });
        let registrations = shared.register().await?;
        *shared.registrations.lock().expect("no code panics while it holds this lock") = registrations;
        Ok(Self { shared })
    }

    /// Who we are.
    pub fn node(&self) -> &NodeId {
        &self.shared.node
    }

    /// Which life of which of our processes this is.
    pub fn process(&self) -> ProcessId {
        self.shared.process
    }

    /// Sends to all who subscribed, ourselves included. Waits while the way out is full.
    pub async fn publish<M: Message>(&self, topic: Topic<M>, message: &M) -> Result<(), PublishError> {
        let draft = Draft::new(topic.name(), &self.shared.header(Kind::Message, 0), message)?;
        self.shared.transport.ready().await.map_err(|_| PublishError::Closed)?;
        let mut topics = self.shared.topics.lock().expect("no code panics while it holds this lock");
        let sequence = topics.entry(topic.name()).or_default();
        *sequence += 1;
        let bytes = draft.number(*sequence);
        self.shared.transport.put(&keys::topic(topic.name()), bytes).map_err(|_| PublishError::Closed)
    }

    /// Receives what is published from now on.
    pub async fn subscribe<M: Message>(&self, topic: Topic<M>) -> Result<Subscription<M>, BusError> {
        Subscription::open(self.shared.clone(), topic).await
    }

    /// Asks one node. `deadline` bounds everything.
    pub async fn request<Q: Message, R: Message>(
        &self,
        service: Service<Q, R>,
        to: &NodeId,
        request: &Q,
        deadline: Duration,
    ) -> Result<R, RequestError> {
        let draft = Draft::new(service.name(), &self.shared.header(Kind::Request, 0), request)?;
        let call = Call { name: service.name(), key: keys::service(service.name(), to), node: to, deadline };
        let answer = self.shared.call(&call, draft.into()).await?;
        answer.decode().map_err(|error| call.undecodable(&error))
    }

    /// Answers what is asked of this node. Serve first, announce presence after.
    pub async fn serve<Q: Message, R: Message>(&self, service: Service<Q, R>) -> Result<Requests<Q, R>, BusError> {
        Requests::open(self.shared.clone(), service).await
    }

    /// Tells `payload` to all who watch, until the token is dropped or this process ends.
    pub async fn announce<P: Message>(
        &self,
        kind: PresenceKind<P>,
        payload: &P,
    ) -> Result<PresenceToken<P>, AnnounceError> {
        let number = self.shared.tokens.fetch_add(1, Ordering::Relaxed);
        PresenceToken::open(self.shared.clone(), kind, number, payload).await
    }

    /// Sees who is there, those already there first, and who comes and goes.
    pub async fn watch<P: Message>(&self, kind: PresenceKind<P>) -> Result<PresenceWatch<P>, BusError> {
        PresenceWatch::open(self.shared.clone(), kind).await
    }

    /// Opens a stream from one node. `deadline` bounds the opening only.
    pub async fn open_stream<Q: Message, I: Message>(
        &self,
        stream: StreamService<Q, I>,
        to: &NodeId,
        open: &Q,
        deadline: Duration,
    ) -> Result<StreamReceiver<I>, OpenError> {
        StreamReceiver::open(self.shared.clone(), stream, to, open, deadline).await
    }

    /// Serves streams from this node. Serve first, announce presence after.
    pub async fn serve_streams<Q: Message, I: Message>(
        &self,
        stream: StreamService<Q, I>,
    ) -> Result<IncomingStreams<Q, I>, BusError> {
        IncomingStreams::open(self.shared.clone(), stream).await
    }

    /// Tells who leads the cluster, as far as this process knows. Its master and this process miss each other within two
    /// and a half seconds then (masters within two), and whoever else is lost without a word may be missed late, since the
    /// leader tells of it. With none everybody is missed within three.
    pub fn follow(&self, leader: Option<&NodeId>) {
        self.shared.transport.follow(leader);
    }

    /// Counts messages that came well over the bus and belong to a session that is not followed.
    pub fn count_other_session(&self, messages: u64) {
        if messages > 0 {
            self.shared.refusals.add(OTHER_SESSION, messages);
        }
    }

    /// Counts what a service of this process refused, besides what the bus itself refuses.
    pub fn count_refusal(&self, reason: &'static str) {
        self.shared.refusals.count(reason);
    }

    /// Who is linked to this process, and what was refused.
    pub fn links(&self) -> LinkReport {
        let mut report = self.shared.transport.links();
        self.shared.refusals.add_to(&mut report.refused);
        report
    }

    /// The links once they are as `wanted` says; at once if they are. Traffic alone does not have it look again. The
    /// caller sets the deadline.
    pub async fn links_where(&self, mut wanted: impl FnMut(&LinkReport) -> bool) -> LinkReport {
        let (mut links, mut refusals) = (self.shared.transport.link_changes(), self.shared.refusals.changes());
        loop {
            let report = self.links();
            if wanted(&report) {
                return report;
            }
            tokio::select! {
                // An adapter without links never changes them.
                Ok(()) = links.changed() => {}
                Ok(()) = refusals.changed() => {}
            }
        }
    }

    /// Leaves: presence ends, open streams fail on both sides, every wait on this bus returns "closed".
    pub async fn close(self) {
        self.shared.closed.cancel();
        self.shared.streams.close();
        self.shared.registrations.lock().expect("no code panics while it holds this lock").clear();
        self.shared.transport.close().await;
    }
}

/// One question to one node: what errors need to name.
pub(crate) struct Call<'a> {
    pub name: &'static str,
    pub key: String,
    pub node: &'a NodeId,
    pub deadline: Duration,
}

impl Call<'_> {
    pub fn undecodable(&self, reason: &dyn std::fmt::Display) -> RequestError {
        RequestError::Undecodable { service: self.name, node: self.node.clone(), reason: reason.to_string() }
    }

    fn failed(&self, error: CallError) -> RequestError {
        let (service, node) = (self.name, self.node.clone());
        match error {
            CallError::Nobody => RequestError::Unreachable { service, node },
            CallError::Timeout => RequestError::Timeout { service, node, after: self.deadline },
            CallError::Closed => RequestError::Publish(PublishError::Closed),
        }
    }
}

impl Shared {
    pub fn header(&self, kind: Kind, stream: u64) -> Header {
        Header { kind, process: self.process, stream, sequence: 0, from: self.node.clone() }
    }

    /// Asks and waits; a refusal is an error, anything else the answer's envelope.
    pub async fn call(&self, call: &Call<'_>, bytes: Bytes) -> Result<Envelope, RequestError> {
        let asked = self.transport.call(&call.key, bytes, call.deadline);
        let answer = tokio::select! {
            biased;
            answer = tokio::time::timeout(call.deadline, asked) => answer.unwrap_or(Err(CallError::Timeout)),
            () = self.closed.cancelled() => Err(CallError::Closed),
        };
        let bytes = answer.map_err(|error| call.failed(error))?;
        let envelope = Envelope::parse(bytes).map_err(|error| {
            self.refusals.count_error(&error);
            call.undecodable(&error)
        })?;
        if envelope.header.from != *call.node {
            self.refusals.count(FOREIGN_ID);
            return Err(call.undecodable(&format!("node {} answered in its place", envelope.header.from)));
        }
        match envelope.header.kind {
            Kind::Refused => Err(RequestError::Refused(
                envelope.decode().unwrap_or_else(|error| format!("for a reason that cannot be read: {error}")),
            )),
            Kind::Reply | Kind::Accepted => Ok(envelope),
            kind => Err(call.undecodable(&format!("an answer was expected, {kind:?} came"))),
        }
    }

    /// Sends a few bytes to one process without waiting; a bus that is closed needs none of them.
    pub fn tell(&self, process: ProcessId, draft: Draft) {
        let _closed = self.transport.put(&keys::inbox(process), draft.into());
    }

    /// The order matters: whoever sees our life may write to our inbox.
    async fn register(&self) -> Result<Vec<Registration>, TransportError> {
        let inbox = self.transport.subscribe(&keys::inbox(self.process), self.inbox()).await?;
        let streams = self.streams.clone();
        let witness = Arc::new(move |sighting| on_process(&streams, &sighting));
        let watch = self.transport.watch(keys::PROCESSES, witness).await?;
        let life = self.transport.declare(&keys::process(self.process)).await?;
        Ok(vec![inbox, watch, life])
    }

    fn inbox(&self) -> crate::transport::Deliver {
        let streams = self.streams.clone();
        let transport: Weak<dyn Transport> = Arc::downgrade(&self.transport);
        let cancel = self.header(Kind::Cancel, 0);
        let refusals = self.refusals.clone();
        Arc::new(move |bytes| match Envelope::parse(bytes) {
            Ok(envelope) => {
                let to = envelope.header.process;
                // An item of a stream that nobody reads: its Cancel was lost or crossed it on the way.
                if let (Some(stream), Some(transport)) = (streams.on_frame(envelope), transport.upgrade()) {
                    let _closed =
                        transport.put(&keys::inbox(to), Draft::bare(&Header { stream, ..cancel.clone() }).into());
                }
            }
            Err(error) => {
                refusals.count_error(&error);
                tracing::warn!(%error, "a frame of a stream cannot be read");
            }
        })
    }
}

fn on_process(streams: &StreamTable, sighting: &Sighting) {
    let (Sighting::Appeared(key) | Sighting::Gone(key)) = sighting;
    let Some(process) = key.rsplit('/').next().and_then(|text| text.parse::<ProcessId>().ok()) else {
        tracing::warn!(key, "not a process");
        return;
    };
    match sighting {
        Sighting::Appeared(_) => streams.on_appeared(process),
        Sighting::Gone(_) => streams.on_gone(process),
    }
}

/// An answer that says no.
pub(crate) fn refusal(header: &Header, reason: &(impl Serialize + ?Sized)) -> Bytes {
    let header = Header { kind: Kind::Refused, ..header.clone() };
    Draft::new("refusal", &header, reason).unwrap_or_else(|_| Draft::bare(&header)).into()
}
