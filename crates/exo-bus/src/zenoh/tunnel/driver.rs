//! The one task that knows all links of a process.

use super::accept::accept;
use super::attention::{Attention, End};
use super::dial::{Called, dial};
use super::frame::FrameError;
use super::handshake::{NoLink, Ready};
use super::hello::{Hello, Place, Verdict};
use super::line::{Established, Line, Word, line};
use super::meter::Meter;
use super::pipe::{answered_by_zenoh, called_by_zenoh, carry};
use super::pulse::Pulse;
use super::table::{Call, Link, LinkId, Table, Target};
use super::{Shared, process_of};
use crate::links::{Neighbour, Traffic};
use exo_identity::Facts;
use exo_types::NodeId;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Callers that shake hands at the same time. One more ends the oldest: an honest one needs milliseconds.
const HALF_OPEN: usize = 64;
/// Calls at the same time; more than that is no cluster but a flood.
const CALLS: usize = 32;
/// What waits for the driver; links wait when it is full.
const EVENTS: usize = 256;
/// Pause when the system has no more descriptors.
const BREATH: Duration = Duration::from_millis(100);

/// What the parts of the tunnel tell the driver.
pub(super) enum Event {
    /// A handshake asks for a place among the links.
    Claim {
        hello: Box<Hello>,
        facts: Box<Facts>,
        meter: Arc<Meter>,
        /// Whether this side decides; otherwise the other side has.
        decides: bool,
        answer: oneshot::Sender<Result<Established, Verdict>>,
    },
    /// Somebody told where processes are.
    Heard(Vec<Place>),
    /// A process of that node does not answer; perhaps its machine is lost.
    Doubted(NodeId),
}

enum Done {
    Called(Target, Box<Called>),
    Accepted(SocketAddr, Result<Option<Box<Ready>>, NoLink>),
}

/// Which side of a link this is, for zenoh.
#[derive(Debug, Clone, Copy)]
enum SocketSide {
    Caller,
    Called,
}

/// Tells the driver what others find out.
#[derive(Clone)]
pub(in crate::zenoh) struct Handle(mpsc::Sender<Event>);

impl Handle {
    /// A process was heard of. Never waits; what is lost is heard again.
    pub fn heard(&self, id: super::PeerId, address: SocketAddr) {
        let _lost = self.0.try_send(Event::Heard(vec![Place { id, addresses: vec![address] }]));
    }
}

/// Owns the links.
pub(in crate::zenoh) struct Driver {
    shared: Arc<Shared>,
    table: Table,
    lines: BTreeMap<LinkId, Line>,
    made: u64,
    events: mpsc::Receiver<Event>,
    tell: mpsc::Sender<Event>,
    callers: mpsc::Receiver<(TcpStream, SocketAddr)>,
    doors: JoinSet<()>,
    handshakes: JoinSet<Done>,
    half_open: VecDeque<AbortHandle>,
    calls: JoinSet<Done>,
    links: JoinSet<()>,
    changes: watch::Receiver<u64>,
    attention: watch::Receiver<Attention>,
    stop: CancellationToken,
}

impl Driver {
    /// Takes over the listeners. Runs with [`Self::run`], until `stop`.
    pub fn new(
        shared: Arc<Shared>,
        listeners: Vec<TcpListener>,
        statics: &[String],
        stop: CancellationToken,
    ) -> (Self, Handle) {
        let (tell, events) = mpsc::channel(EVENTS);
        let (enter, callers) = mpsc::channel(1);
        let mut doors = JoinSet::new();
        for listener in listeners {
            doors.spawn(keep_door(listener, enter.clone()));
        }
        let driver = Self {
            table: Table::new(shared.own, statics, Instant::now().into_std()),
            lines: BTreeMap::new(),
            made: 0,
            events,
            tell: tell.clone(),
            callers,
            doors,
            handshakes: JoinSet::new(),
            half_open: VecDeque::new(),
            calls: JoinSet::new(),
            links: JoinSet::new(),
            changes: shared.identity.changes(),
            attention: shared.attention.subscribe(),
            stop,
            shared,
        };
        (driver, Handle(tell))
    }

    /// Until it is stopped; then until the links that zenoh closes have ended.
    pub async fn run(mut self) {
        let stop = self.stop.clone();
        while !stop.is_cancelled() {
            self.call();
            let due = self.table.poll_timeout().map(Instant::from_std);
            let due = due.filter(|_| self.calls.len() < CALLS);
            let timer = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Ok(()) = self.changes.changed() => self.on_members(),
                Ok(()) = self.attention.changed() => self.on_attention(),
                Some(event) = self.events.recv() => self.on_event(event),
                Some(ended) = self.links.join_next() => note_panic(ended.err()),
                Some(done) = self.calls.join_next() => self.on_done(done),
                Some(done) = self.handshakes.join_next() => self.on_done(done),
                Some((stream, from)) = self.callers.recv() => self.on_caller(stream, from),
                () = timer => {}
            }
            self.reap();
        }
        self.doors.abort_all();
        self.calls.abort_all();
        self.handshakes.abort_all();
        while self.links.join_next().await.is_some() {}
    }

    fn call(&mut self) {
        let room = CALLS.saturating_sub(self.calls.len());
        if room == 0 {
            return;
        }
        for call in self.table.calls(Instant::now().into_std(), room) {
            let (shared, tell) = (self.shared.clone(), self.tell.clone());
            self.calls.spawn(async move {
                let called = dial(&shared, &call, &tell).await;
                log_call(&call, &called);
                Done::Called(call.target, Box::new(called))
            });
        }
    }

    fn on_caller(&mut self, stream: TcpStream, from: SocketAddr) {
        self.half_open.retain(|handshake| !handshake.is_finished());
        if self.half_open.len() >= HALF_OPEN
            && let Some(oldest) = self.half_open.pop_front()
        {
            oldest.abort();
            self.shared.refuse("crowded_out", from, &"too many callers shake hands at once; the oldest is cut off");
        }
        let (shared, tell) = (self.shared.clone(), self.tell.clone());
        let handshake = self.handshakes.spawn(async move {
            Done::Accepted(from, accept(&shared, stream, &tell).await.map(|ready| ready.map(Box::new)))
        });
        self.half_open.push_back(handshake);
        let half_open = self.half_open.len();
        self.shared.edit(|report| report.half_open = half_open);
    }

    fn on_done(&mut self, done: Result<Done, tokio::task::JoinError>) {
        match done {
            Ok(Done::Called(target, called)) => {
                self.table.on_called(Instant::now().into_std(), &target, called.answered);
                if let Ok(ready) = called.outcome {
                    self.start(ready, SocketSide::Caller);
                }
            }
            Ok(Done::Accepted(_, Ok(Some(ready)))) => self.start(*ready, SocketSide::Called),
            Ok(Done::Accepted(_, Ok(None))) => {}
            Ok(Done::Accepted(from, Err(error))) => match error.word() {
                Some(word) => self.shared.refuse(word, from, &error),
                None => tracing::trace!(%from, %error, "no link"),
            },
            Err(error) => note_panic(Some(error)),
        }
        self.half_open.retain(|handshake| !handshake.is_finished());
        let half_open = self.half_open.len();
        self.shared.edit(|report| report.half_open = half_open);
    }

    fn start(&mut self, ready: Ready, side: SocketSide) {
        let (shared, tell) = (self.shared.clone(), self.tell.clone());
        self.links.spawn(async move {
            let Ready { stream, peer, established } = ready;
            let local = match side {
                SocketSide::Called => answered_by_zenoh(&shared).await.map(|local| (local, None)),
                SocketSide::Caller => {
                    called_by_zenoh(&shared, established.link.0, &peer).await.map(|(local, call)| (local, Some(call)))
                }
            };
            let process = process_of(&peer);
            match local {
                Ok((local, call)) => {
                    let ended = carry(&shared, stream, local, call, established, tell).await;
                    if ended.as_ref().is_err_and(FrameError::is_silence) {
                        tracing::info!(%process, "the machine of this process does not answer any more");
                        shared.edit(|report| report.lost += 1);
                    }
                    let reason = ended.unwrap_or_else(|error| error.to_string());
                    tracing::debug!(%process, reason, "a link ended");
                }
                Err(error) => tracing::debug!(%process, %error, "a link did not reach zenoh"),
            }
        });
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Heard(places) => {
                let now = Instant::now().into_std();
                places.into_iter().for_each(|place| self.table.on_heard(now, place));
            }
            Event::Doubted(node) => self.table.links().filter(|link| link.node == node).for_each(|link| self.ask(link)),
            Event::Claim { hello, facts, meter, decides, answer } => {
                self.reap();
                // A handshake that was given up meanwhile drops its place at once.
                let _given_up = answer.send(self.on_claim(*hello, *facts, meter, decides));
            }
        }
    }

    fn on_claim(
        &mut self,
        hello: Hello,
        facts: Facts,
        meter: Arc<Meter>,
        decides: bool,
    ) -> Result<Established, Verdict> {
        if self.shared.identity.check_facts(&facts).is_err() {
            return Err(Verdict::Foreign);
        }
        match self.table.judge(&hello.place.id, &hello.node) {
            Verdict::Accepted => {}
            // The other side knows better that the old one is gone.
            Verdict::Doubled if !decides => {}
            unwanted => {
                // Who calls may have lost the one that is there.
                self.table.links().filter(|link| link.place.id == hello.place.id).for_each(|link| self.ask(link));
                return Err(unwanted);
            }
        }
        self.made += 1;
        let id = LinkId(self.made);
        let Hello { node, place, admits } = hello;
        let others: Vec<Place> =
            self.table.links().filter(|other| other.place.id != place.id).map(|other| other.place.clone()).collect();
        for other in self.lines.values() {
            other.tell(Word::Peers(vec![place.clone()]));
        }
        let process = process_of(&place.id);
        self.shared.seals.on_linked(process, &facts);
        self.shared.sightings.on_linked(process);
        let link = Link { id, node: node.clone(), place, admits, facts, meter };
        let calls = self.shared.calls.open(process, node.clone());
        let (line, established) = line(id, node, self.pulse_of(&link), calls);
        if !others.is_empty() {
            line.tell(Word::Peers(others));
        }
        if let Some(replaced) = self.table.on_linked(link) {
            self.end(replaced, "a newer link replaces it");
        }
        self.lines.insert(id, line);
        self.tell_neighbours();
        Ok(established)
    }

    fn pulse_of(&self, link: &Link) -> Pulse {
        let node = self.shared.identity.node_id();
        let own = End { node: &node, has_master: self.shared.admits_nodes };
        let peer = End { node: &link.node, has_master: link.admits };
        self.attention.borrow().pulse(own, peer)
    }

    /// Other links have to be watched now.
    fn on_attention(&mut self) {
        for link in self.table.links() {
            let pulse = self.pulse_of(link);
            if let Some(line) = self.lines.get(&link.id) {
                line.set_pulse(pulse);
            }
        }
    }

    /// Has a link show whether it is lost.
    fn ask(&self, link: &Link) {
        if let Some(line) = self.lines.get(&link.id) {
            line.tell(Word::Ask);
        }
    }

    /// Closes links of nodes that were thrown out.
    fn on_members(&mut self) {
        let now = Instant::now().into_std();
        let identity = self.shared.identity.clone();
        let refused: Vec<_> = self
            .table
            .links()
            .filter_map(|link| Some((link.clone(), identity.check_facts(&link.facts).err()?)))
            .collect();
        for (link, refused) in refused {
            tracing::warn!(node = %link.node, "a link is closed: {refused}");
            self.shared.edit(|report| *report.refused.entry(refused.word().to_owned()).or_default() += 1);
            self.end(link.id, &refused.to_string());
            self.forget(now, &link.place.id, link.id);
        }
        self.shared.seals.on_members();
        self.tell_neighbours();
    }

    fn end(&mut self, link: LinkId, reason: &str) {
        if let Some(line) = self.lines.remove(&link) {
            line.tell(Word::Bye(reason.to_owned()));
        }
    }

    /// Forgets links that ended, however they did.
    fn reap(&mut self) {
        let ended: Vec<LinkId> =
            self.lines.iter().filter(|(_, line)| line.has_ended()).map(|(link, _)| *link).collect();
        if ended.is_empty() {
            return;
        }
        let now = Instant::now().into_std();
        for link in ended {
            self.lines.remove(&link);
            let peer = self.table.links().find(|held| held.id == link).map(|held| held.place.id);
            if let Some(peer) = peer {
                self.forget(now, &peer, link);
            }
        }
        self.tell_neighbours();
    }

    /// A link is gone, and with its last one what the process announced.
    fn forget(&mut self, now: std::time::Instant, peer: &super::PeerId, link: LinkId) {
        if self.table.on_ended(now, peer, link) {
            self.shared.sightings.on_ended(process_of(peer));
        }
    }

    fn tell_neighbours(&self) {
        let neighbour = |link: &Link| {
            let neighbour = Neighbour {
                node: link.node.clone(),
                process: process_of(&link.place.id),
                addresses: link.place.addresses.iter().map(ToString::to_string).collect(),
                admits: link.admits,
                certificate_ends: link.facts.not_after,
                traffic: Traffic::default(),
            };
            (neighbour, link.meter.clone())
        };
        self.shared.set_neighbours(self.table.links().map(neighbour).collect());
    }
}

async fn keep_door(listener: TcpListener, enter: mpsc::Sender<(TcpStream, SocketAddr)>) {
    loop {
        match listener.accept().await {
            Ok(caller) => {
                if enter.send(caller).await.is_err() {
                    return;
                }
            }
            Err(error) => on_accept_error(&error).await,
        }
    }
}

async fn on_accept_error(error: &io::Error) {
    tracing::warn!(%error, "a caller could not be taken in");
    tokio::time::sleep(BREATH).await;
}

fn log_call(call: &Call, called: &Called) {
    match &called.outcome {
        Ok(_) => tracing::debug!(target = ?call.target, "linked"),
        Err(error) => tracing::debug!(target = ?call.target, %error, "not linked"),
    }
}

fn note_panic(error: Option<tokio::task::JoinError>) {
    if let Some(error) = error.filter(|error| !error.is_cancelled()) {
        tracing::error!(%error, "a link ended by a defect");
    }
}
