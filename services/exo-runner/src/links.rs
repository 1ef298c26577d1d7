//! The links of one rank in one incarnation.
//!
//! ```text
//! steps   leader of a group of ranks ──▶ the others of the group, and ──▶ the leader of the layers behind
//! group   every rank of a group ◀──▶ every other: parts of activations, while a step is computed
//! ```
//! Leaders are a ring: what the last sends comes back to rank 0. Both ends of every link for steps are listened to, so
//! that a rank that does nothing notices at once when a neighbour dies. A rank that loses one link closes all, and so the
//! loss reaches every rank, until all have begun anew.

mod caller;
mod calls;
mod door;
mod incarnation;
mod neighbours;
mod ranks;

pub(crate) use incarnation::Incarnation;
pub(crate) use ranks::{RankGroup, RingStages};

use crate::credentials::Credentials;
use crate::inbox::{Inbox, LinkCause};
use crate::progress::Progress;
use crate::step_bytes::{self, Step, StepBytesError};
use caller::Caller;
use calls::Calls;
use door::Door;
use exo_runner_host::{Load, RankAddress};
use exo_tensor_link::{BindError, Handshake, LinkError, Listener, Precision};
use exo_types::Shard;
use neighbours::{Group, Nexts};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};
use thiserror::Error;

/// A link may be silent for ever; this only bounds one call.
const QUIET: Duration = Duration::from_secs(3600);

/// Most values in a frame between ranks of a group: 4 MiB. Longer parts travel in several.
const GROUP_VALUES: u32 = 1 << 20;

/// Bytes that say which operation of the group a frame belongs to.
const GROUP_METADATA: u32 = 8;

/// Why a rank has no links.
#[derive(Debug, Error)]
pub(crate) enum LinksError {
    #[error("no port of networking.tensorPorts ({first} to {last}) is free: {error}; give this node more ports")]
    Ports { first: u16, last: u16, error: BindError },
    #[error("the system refused a thread: {0}")]
    Thread(#[from] io::Error),
    #[error("a model over several ranks needs links, but the worker gave none")]
    NoSettings,
    #[error(
        "a model over several ranks needs the node's identity, but the worker gave none; install exo-runner and its worker from one build"
    )]
    NoIdentity,
}

/// Why a step did not come through.
#[derive(Debug, Error)]
pub(crate) enum StepError {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error(transparent)]
    Bytes(#[from] StepBytesError),
    #[error("the other ranks did not answer within {0:?}")]
    Late(Duration),
    #[error("the link from the last rank is gone")]
    Gone,
    #[error("the last rank answered step {found} where step {step} was due")]
    Mixed { step: u64, found: u64 },
    #[error("rank {0} sends where nothing is expected of it")]
    Unexpected(u32),
}

/// A frame: a step and rows of hidden states.
pub(crate) type Frame = (Step, Vec<f32>);

/// What a link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Channel {
    /// Steps, in one direction.
    Steps,
    /// Parts of activations between ranks of a group.
    Group,
}

impl Channel {
    fn number(self) -> u32 {
        match self {
            Self::Steps => 0,
            Self::Group => 1,
        }
    }
}

/// What links work with.
pub(crate) struct Around {
    pub(crate) credentials: Credentials,
    pub(crate) inbox: Inbox,
}

/// The links, as far as they are there.
pub(crate) struct Links {
    endpoint: SocketAddr,
    terms: Terms,
    deadline: Duration,
    incarnation: Arc<Incarnation>,
    calls: Calls,
    /// What comes back to rank 0.
    returns: Option<Receiver<Frame>>,
    /// Whether the rank that steps come from is connected, if there is one.
    has_previous: bool,
    nexts: Nexts,
    group: Group,
}

/// What this rank agrees on with others.
#[derive(Clone)]
struct Terms {
    shard: Shard,
    instance: String,
    max_metadata: u32,
    max_values: u32,
}

impl Terms {
    /// `step_values` are the most numbers that the hidden states of a step have.
    fn new(order: &Load, step_values: usize) -> Self {
        let bounded = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        Self {
            shard: order.shard.clone(),
            instance: order.instance_id.to_string(),
            max_metadata: bounded(step_bytes::longest(order.max_sequences, order.context_length)),
            max_values: bounded(step_values),
        }
    }

    fn handshake(&self, peer: u32, channel: Channel, incarnation: u64) -> Handshake {
        let (max_metadata, max_values) = match channel {
            Channel::Steps => (self.max_metadata, self.max_values),
            Channel::Group => (GROUP_METADATA, GROUP_VALUES),
        };
        Handshake {
            instance: self.instance.clone(),
            incarnation,
            rank: self.shard.device_rank,
            peer,
            world: self.shard.world_size,
            channel: channel.number(),
            max_metadata,
            max_values,
            precision: Precision::F32,
        }
    }

    /// Who calls this rank, and what for.
    fn callers(&self) -> Vec<(u32, Channel)> {
        let shard = &self.shard;
        let of_group = shard.group().filter(|rank| *rank < shard.device_rank).map(|rank| (rank, Channel::Group));
        shard.previous().map(|rank| (rank, Channel::Steps)).into_iter().chain(of_group).collect()
    }

    /// What it calls that rank for.
    fn calls(&self, rank: u32) -> Vec<Channel> {
        let steps = self.shard.nexts().contains(&rank).then_some(Channel::Steps);
        let group = self.shard.group().contains(&rank).then_some(Channel::Group);
        steps.into_iter().chain(group).collect()
    }
}

impl Links {
    /// Takes a port and waits there for those that call. `step_values` are the most numbers that the hidden states of a step
    /// have.
    pub(crate) fn listen(
        order: &Load,
        step_values: usize,
        incarnation: u64,
        around: Around,
    ) -> Result<Self, LinksError> {
        let settings = order.links.as_ref().ok_or(LinksError::NoSettings)?;
        let Around { credentials, inbox } = around;
        let identity = credentials.identity().ok_or(LinksError::NoIdentity)?;
        let incarnation = Arc::new(Incarnation::new(incarnation, identity, inbox));
        credentials.watch_over(&incarnation);
        let listener = bind(settings.listen, settings.ports)?;
        let endpoint = SocketAddr::new(settings.advertise, listener.address().port());
        let terms = Terms::new(order, step_values);
        let comes_back = terms.shard.device_rank == 0 && terms.shard.previous().is_some();
        let (to_head, returns) = sync_channel(1);
        let door = Door {
            listener,
            callers: terms.callers(),
            terms: terms.clone(),
            incarnation: incarnation.clone(),
            returns: comes_back.then_some(to_head),
        };
        thread::Builder::new().name("door".to_owned()).spawn(move || door.run())?;
        let deadline = Duration::from_millis(settings.deadline_ms);
        let has_previous = terms.shard.previous().is_none();
        let returns = comes_back.then_some(returns);
        let (calls, nexts, group) = (Calls::default(), Nexts::default(), Group::default());
        Ok(Self { endpoint, terms, deadline, incarnation, calls, returns, has_previous, nexts, group })
    }

    /// Where other ranks find this one.
    pub(crate) fn endpoint(&self) -> String {
        self.endpoint.to_string()
    }

    /// Calls those ranks, in threads of their own: the links come to the inbox. Calls of them elsewhere are given up, but
    /// one that is linked to stays: if it lives another life, the loss of its link is about to end this incarnation.
    pub(crate) fn connect(&mut self, peers: &[RankAddress]) -> Result<(), LinksError> {
        for peer in peers {
            if self.nexts.has(peer.rank) || self.group.has(peer.rank) {
                continue;
            }
            let Some(call) = self.calls.begin(peer) else { continue };
            for channel in self.terms.calls(peer.rank) {
                let handshake = self.terms.handshake(peer.rank, channel, peer.incarnation);
                let caller = Caller {
                    endpoint: peer.endpoint.clone(),
                    handshake,
                    channel,
                    incarnation: self.incarnation.clone(),
                    wanted: call.wanted(),
                };
                thread::Builder::new().name(format!("rank-{}", peer.rank)).spawn(move || caller.run())?;
            }
        }
        Ok(())
    }

    /// Notes a link that is there.
    pub(crate) fn note(&mut self, cause: LinkCause) {
        match cause {
            LinkCause::Previous => self.has_previous = true,
            LinkCause::Next(rank, sender) => self.nexts.add(rank, *sender),
            LinkCause::Group(rank, link) => self.group.add(rank, *link),
            LinkCause::Step(..) | LinkCause::Broken(_) => {}
        }
    }

    /// Whether all are there.
    pub(crate) fn is_whole(&self) -> bool {
        let shard = &self.terms.shard;
        let others = shard.tensor.size as usize - 1;
        self.has_previous && self.nexts.count() == shard.nexts().len() && self.group.count() == others
    }

    /// The ranks that share this one's layers, if there are any; once, when the links are whole.
    pub(crate) fn group(&mut self, progress: &Progress) -> Option<RankGroup> {
        let shard = &self.terms.shard;
        if shard.tensor.size < 2 {
            return None;
        }
        let members = if shard.is_leader() { self.nexts.take(shard.group()) } else { Vec::new() };
        let group = self.group.take(shard.tensor.rank as usize);
        Some(RankGroup::new(members, group, self.deadline, progress.clone()))
    }

    /// The layers behind as rank 0's engine sees them, if they are on other ranks; once, when the links are whole.
    pub(crate) fn stages(&mut self, progress: &Progress) -> Option<RingStages> {
        let next = self.nexts.take(0..u32::MAX).pop()?;
        let shard = &self.terms.shard;
        let stages = (shard.world_size / shard.tensor.size.max(1)) as usize;
        Some(RingStages::new(stages, next, self.returns.take()?, self.deadline, progress.clone()))
    }

    /// Sends a step on to the layers behind, if that is this rank's to do.
    pub(crate) fn send(&mut self, step: &Step, hidden: &[f32]) -> Result<(), StepError> {
        let deadline = Instant::now() + self.deadline;
        self.nexts.all().try_for_each(|next| Ok(next.send(&step_bytes::write(step), hidden, deadline)?))
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        self.incarnation.end();
    }
}

fn bind(address: std::net::IpAddr, (first, last): (u16, u16)) -> Result<Listener, LinksError> {
    let mut ports = first..=last.max(first);
    loop {
        let port = ports.next().unwrap_or(last);
        match Listener::bind(SocketAddr::new(address, port)) {
            Ok(listener) => return Ok(listener),
            Err(BindError::InUse { .. }) if !ports.is_empty() => {}
            Err(error) => return Err(LinksError::Ports { first, last, error }),
        }
    }
}
