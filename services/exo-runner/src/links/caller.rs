//! The thread that calls a rank.

use super::calls::Wanted;
use super::{Channel, Incarnation, QUIET, StepError};
use crate::inbox::LinkCause;
use exo_tensor_link::{Handshake, Link, LinkError, LinkReceiver};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use thiserror::Error;

/// The other ranks are told to connect at about the same time, and the next life of one that is gone is told of sooner.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// Calls, and then listens whether it is still there.
pub(super) struct Caller {
    pub(super) endpoint: String,
    pub(super) handshake: Handshake,
    pub(super) channel: Channel,
    pub(super) incarnation: Arc<Incarnation>,
    /// Until another call of that rank takes its place.
    pub(super) wanted: Wanted,
}

/// Why a rank is not reached.
#[derive(Debug, Error)]
enum CallError {
    #[error("{0:?} is no address of a rank")]
    Address(String),
    #[error("rank {peer} at {address} cannot be reached: {error}")]
    Unreached { peer: u32, address: SocketAddr, error: LinkError },
}

impl CallError {
    /// A rank that listens and refuses lives another life than the one that is known: that one is told of soon.
    fn is_of_another_life(&self) -> bool {
        matches!(self, Self::Unreached { error: LinkError::HandshakeRefused { .. }, .. })
    }
}

impl Caller {
    pub(super) fn run(self) {
        let deadline = Instant::now() + CONNECT_DEADLINE;
        let called = self.call(deadline);
        let is_wanted = match &called {
            Err(error) if error.is_of_another_life() => {
                tracing::info!(%error, "it is called again when the worker tells of its present life");
                self.wanted.until(deadline)
            }
            _ => self.wanted.now(),
        };
        match called {
            // The rank is called elsewhere.
            _ if !is_wanted => {}
            Err(error) => self.tell(LinkCause::Broken(error.to_string())),
            Ok(link) => self.serve(link),
        }
    }

    fn call(&self, deadline: Instant) -> Result<Link, CallError> {
        let Handshake { peer, .. } = self.handshake;
        let address: SocketAddr = self.endpoint.parse().map_err(|_| CallError::Address(self.endpoint.clone()))?;
        let link = Link::connect(address, self.incarnation.identity(), &self.handshake, deadline);
        link.map_err(|error| CallError::Unreached { peer, address, error })
    }

    fn serve(self, link: Link) {
        let peer = self.handshake.peer;
        self.incarnation.bind(&link);
        match self.channel {
            Channel::Group => self.tell(LinkCause::Group(peer, Box::new(link))),
            Channel::Steps => {
                let (sender, receiver) = link.split();
                self.tell(LinkCause::Next(peer, Box::new(sender)));
                let reason = watch(receiver, peer);
                self.tell(LinkCause::Broken(format!("rank {peer}: {reason}")));
            }
        }
    }

    fn tell(&self, cause: LinkCause) {
        // Without a runner there is nobody to tell.
        let _told = self.incarnation.tell(cause);
    }
}

/// Waits until a rank that sends nothing is gone.
fn watch(mut receiver: LinkReceiver, peer: u32) -> StepError {
    let (mut metadata, mut values) = (Vec::new(), Vec::new());
    loop {
        match receiver.recv_into(&mut metadata, &mut values, Instant::now() + QUIET) {
            Err(LinkError::Timeout { .. }) => {}
            Err(error) => return error.into(),
            Ok(_) => return StepError::Unexpected(peer),
        }
    }
}
