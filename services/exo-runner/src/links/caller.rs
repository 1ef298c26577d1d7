//! The thread that calls a rank.

use super::{Channel, Incarnation, QUIET, StepError};
use crate::inbox::LinkCause;
use exo_tensor_link::{Handshake, Link, LinkError, LinkReceiver};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The other ranks are told to connect at about the same time.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// Calls, and then listens whether it is still there.
pub(super) struct Caller {
    pub(super) endpoint: String,
    pub(super) handshake: Handshake,
    pub(super) channel: Channel,
    pub(super) incarnation: Arc<Incarnation>,
}

impl Caller {
    pub(super) fn run(self) {
        let peer = self.handshake.peer;
        match self.call() {
            Err(reason) => self.tell(LinkCause::Broken(reason)),
            Ok(link) => {
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
        }
    }

    fn call(&self) -> Result<Link, String> {
        let Handshake { peer, .. } = self.handshake;
        let address: SocketAddr =
            self.endpoint.parse().map_err(|_| format!("{:?} is no address of a rank", self.endpoint))?;
        let deadline = Instant::now() + CONNECT_DEADLINE;
        let link = Link::connect(address, self.incarnation.identity(), &self.handshake, deadline);
        link.map_err(|error| format!("rank {peer} at {address} cannot be reached: {error}"))
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
