//! The links of one rank in one incarnation: from the rank before, and to the rank after.
//!
//! The thread of the link from the rank before accepts it and then reads from it, so that a rank that does nothing
//! notices at once when its neighbour dies. A rank that loses one link closes both, and so the loss goes round the
//! ring in the direction of the steps, until every rank has begun anew.

use crate::credentials::Credentials;
use crate::inbox::{Cause, Inbox, LinkCause};
use crate::plan_bytes::{self, PlanBytesError};
use crate::progress::Progress;
use exo_engine::{BatchPlan, NextStages, NextStagesError};
use exo_identity::Identity;
use exo_runner_host::Load;
use exo_tensor_link::{BindError, Closer, Handshake, Link, LinkError, Listener, Precision};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};
use thiserror::Error;

/// How often a thread that waits to be called looks whether it still should.
const LOOK: Duration = Duration::from_millis(250);

/// The other ranks are told to connect at about the same time.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// A link may be silent for ever; this only bounds one call.
const QUIET: Duration = Duration::from_secs(3600);

/// Why a rank has no links.
#[derive(Debug, Error)]
pub(crate) enum RingError {
    #[error("no port of networking.tensorPorts ({first} to {last}) is free: {error}; give this node more ports")]
    Ports { first: u16, last: u16, error: BindError },
    #[error("the system refused a thread: {0}")]
    Thread(#[from] io::Error),
    #[error("a pipeline needs links, but the worker gave none")]
    NoSettings,
    #[error(
        "a pipeline needs the node's identity, but the worker gave none; install exo-runner and its worker from one build"
    )]
    NoIdentity,
}

/// Why a step did not come through.
#[derive(Debug, Error)]
pub(crate) enum StepError {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error(transparent)]
    Plan(#[from] PlanBytesError),
    #[error("the other ranks did not answer within {0:?}")]
    Late(Duration),
    #[error("the link from the last rank is gone")]
    Gone,
    #[error("the last rank answered step {found} with {values} values; step {step} with {expected} was asked")]
    Mixed { step: u64, expected: usize, found: u64, values: usize },
}

/// A frame: a plan and rows of hidden states.
pub(crate) type Frame = (BatchPlan, Vec<f32>);

/// What a ring works with.
pub(crate) struct Around {
    pub(crate) credentials: Credentials,
    pub(crate) inbox: Inbox,
}

/// The links, as far as they are there.
pub(crate) struct Ring {
    endpoint: SocketAddr,
    handshake: Handshake,
    deadline: Duration,
    incarnation: u64,
    inbox: Inbox,
    identity: Identity,
    stop: Arc<Stop>,
    /// What comes back to rank 0.
    returns: Option<Receiver<Frame>>,
    /// Whether the rank before is connected.
    pub(crate) has_previous: bool,
    /// The link to the rank after.
    pub(crate) next: Option<Link>,
}

/// Ends the threads of a ring.
#[derive(Default)]
struct Stop {
    asked: AtomicBool,
    closers: Mutex<Vec<Closer>>,
}

impl Stop {
    fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }

    fn ask(&self) {
        self.asked.store(true, Ordering::Release);
        self.closers().drain(..).for_each(|closer| closer.close());
    }

    /// From now on the link ends with the ring.
    fn bind(&self, link: &Link) {
        self.closers().push(link.closer());
        if self.is_asked() {
            self.ask();
        }
    }

    fn closers(&self) -> std::sync::MutexGuard<'_, Vec<Closer>> {
        self.closers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    /// Takes a port and waits there for the rank before. `width` is that of the hidden states.
    pub(crate) fn listen(order: &Load, width: usize, incarnation: u64, around: Around) -> Result<Self, RingError> {
        let settings = order.links.as_ref().ok_or(RingError::NoSettings)?;
        let Around { credentials, inbox } = around;
        let identity = credentials.now().ok_or(RingError::NoIdentity)?;
        let listener = bind(settings.listen, settings.ports)?;
        let endpoint = SocketAddr::new(settings.advertise, listener.address().port());
        let handshake = handshake(order, width, incarnation);
        let stop = Arc::new(Stop::default());
        let is_head = order.shard.device_rank == 0;
        let (to_head, returns) = sync_channel(1);
        let previous = Previous {
            listener,
            credentials,
            handshake: handshake.clone(),
            stop: stop.clone(),
            incarnation,
            inbox: inbox.clone(),
            returns: is_head.then_some(to_head),
        };
        thread::Builder::new().name("previous-rank".to_owned()).spawn(move || previous.run())?;
        let deadline = Duration::from_millis(settings.deadline_ms);
        let returns = is_head.then_some(returns);
        let (has_previous, next) = (false, None);
        Ok(Self { endpoint, handshake, deadline, incarnation, inbox, identity, stop, returns, has_previous, next })
    }

    /// Where the rank before finds this one.
    pub(crate) fn endpoint(&self) -> String {
        self.endpoint.to_string()
    }

    /// Calls the rank after, in a thread of its own: the answer comes to the inbox.
    pub(crate) fn connect(&self, next: &str, next_incarnation: u64) -> Result<(), RingError> {
        let Handshake { world, rank, .. } = self.handshake;
        let peer = (rank + 1) % world;
        let handshake = Handshake { peer, incarnation: next_incarnation, ..self.handshake.clone() };
        let (inbox, incarnation, stop) = (self.inbox.clone(), self.incarnation, self.stop.clone());
        let (next, identity) = (next.to_owned(), self.identity.clone());
        thread::Builder::new().name("next-rank".to_owned()).spawn(move || {
            let cause = match call(&next, &identity, &handshake) {
                Ok(link) => {
                    stop.bind(&link);
                    LinkCause::Next(Box::new(link))
                }
                Err(reason) => LinkCause::Broken(reason),
            };
            // Without a runner there is nobody to tell.
            let _ = inbox.send(Cause::Link(incarnation, cause));
        })?;
        Ok(())
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.has_previous && self.next.is_some()
    }

    /// Sends a step on to the rank after.
    pub(crate) fn send(&mut self, plan: &BatchPlan, hidden: &[f32]) -> Result<(), StepError> {
        let link = self.next.as_mut().ok_or(StepError::Gone)?;
        Ok(link.send(&plan_bytes::write(plan), hidden, Instant::now() + self.deadline)?)
    }

    /// The other ranks as rank 0's engine sees them; once, when the ring is whole.
    pub(crate) fn stages(&mut self, progress: Progress) -> Option<RingStages> {
        let (next, returns) = (self.next.take()?, self.returns.take()?);
        Some(RingStages { next, returns, deadline: self.deadline, progress })
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.stop.ask();
    }
}

fn bind(address: std::net::IpAddr, (first, last): (u16, u16)) -> Result<Listener, RingError> {
    let mut ports = first..=last.max(first);
    loop {
        let port = ports.next().unwrap_or(last);
        match Listener::bind(SocketAddr::new(address, port)) {
            Ok(listener) => return Ok(listener),
            Err(BindError::InUse { .. }) if !ports.is_empty() => {}
            Err(error) => return Err(RingError::Ports { first, last, error }),
        }
    }
}

/// What this rank and the one before it have to agree on.
fn handshake(order: &Load, width: usize, incarnation: u64) -> Handshake {
    let (rank, world) = (order.shard.device_rank, order.shard.world_size);
    let rows = (order.prefill_chunk as usize).saturating_add(order.max_sequences as usize);
    let bounded = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    Handshake {
        instance: order.instance_id.to_string(),
        incarnation,
        rank,
        peer: (rank + world - 1) % world,
        world,
        channel: 0,
        max_metadata: bounded(plan_bytes::longest(order.max_sequences)),
        max_values: bounded(rows.saturating_mul(width)),
        precision: Precision::F32,
    }
}

fn call(next: &str, identity: &Identity, handshake: &Handshake) -> Result<Link, String> {
    let address: SocketAddr = next.parse().map_err(|_| format!("{next:?} is no address of a rank"))?;
    let link = Link::connect(address, identity, handshake, Instant::now() + CONNECT_DEADLINE);
    link.map_err(|error| format!("rank {} at {address} cannot be reached: {error}", handshake.peer))
}

/// The thread of the link from the rank before.
struct Previous {
    listener: Listener,
    credentials: Credentials,
    handshake: Handshake,
    stop: Arc<Stop>,
    incarnation: u64,
    inbox: Inbox,
    /// Where frames go on rank 0; on others they are steps.
    returns: Option<SyncSender<Frame>>,
}

impl Previous {
    fn run(self) {
        let Some(link) = self.accept() else { return };
        self.stop.bind(&link);
        if self.tell(LinkCause::Previous) {
            let reason = self.read(link).err().map_or_else(|| "nobody takes its frames".to_owned(), |e| e.to_string());
            self.tell(LinkCause::Broken(format!("rank {}: {reason}", self.handshake.peer)));
        }
    }

    fn accept(&self) -> Option<Link> {
        while !self.stop.is_asked() {
            // As it is now: a rank may wait for days.
            let identity = self.credentials.now()?;
            match self.listener.accept(&identity, &self.handshake, Instant::now() + LOOK) {
                Ok(link) => return Some(link),
                Err(LinkError::Timeout { .. }) => {}
                Err(error) => {
                    self.tell(LinkCause::Broken(error.to_string()));
                    return None;
                }
            }
        }
        None
    }

    fn read(&self, mut link: Link) -> Result<(), StepError> {
        let mut metadata = Vec::new();
        loop {
            let mut values = Vec::new();
            match link.recv_into(&mut metadata, &mut values, Instant::now() + QUIET) {
                Ok(_) => {
                    let plan = plan_bytes::read(&metadata)?;
                    let taken = match &self.returns {
                        Some(returns) => returns.send((plan, values)).is_ok(),
                        None => self.tell(LinkCause::Step(plan, values)),
                    };
                    if !taken {
                        return Ok(());
                    }
                }
                Err(LinkError::Timeout { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn tell(&self, cause: LinkCause) -> bool {
        self.inbox.send(Cause::Link(self.incarnation, cause)).is_ok()
    }
}

/// The ranks after the first: a step goes out to the next and comes back from the last.
pub(crate) struct RingStages {
    next: Link,
    returns: Receiver<Frame>,
    deadline: Duration,
    progress: Progress,
}

impl NextStages for RingStages {
    fn run(&mut self, plan: &BatchPlan, hidden: &mut Vec<f32>) -> Result<(), NextStagesError> {
        let width = hidden.len() / plan.tokens().max(1);
        let deadline = Instant::now() + self.deadline;
        self.next.send(&plan_bytes::write(plan), hidden, deadline)?;
        let (returns, limit) = (&self.returns, self.deadline);
        let came = self.progress.waiting(|| returns.recv_timeout(limit));
        let (echo, values) = came.map_err(|error| match error {
            RecvTimeoutError::Timeout => StepError::Late(limit),
            RecvTimeoutError::Disconnected => StepError::Gone,
        })?;
        let expected = plan.head_rows() * width;
        if echo.step != plan.step || values.len() != expected {
            let (step, found, values) = (plan.step, echo.step, values.len());
            return Err(StepError::Mixed { step, expected, found, values }.into());
        }
        *hidden = values;
        Ok(())
    }
}
