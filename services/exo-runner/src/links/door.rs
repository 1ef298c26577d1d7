//! The thread that lets in the ranks that call, and those that read what they send.

use super::{Channel, Incarnation, QUIET, StepError, Terms};
use crate::inbox::LinkCause;
use crate::step_bytes;
use exo_tensor_link::{Handshake, Link, LinkError, Listener};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread;
use std::time::{Duration, Instant};

/// How often a thread that waits to be called looks whether it still should.
const LOOK: Duration = Duration::from_millis(250);

/// Open until everybody who calls is in.
pub(super) struct Door {
    pub(super) listener: Listener,
    /// Who is still to come.
    pub(super) callers: Vec<(u32, Channel)>,
    pub(super) terms: Terms,
    pub(super) incarnation: Arc<Incarnation>,
    /// Where frames go on rank 0; on others they are steps.
    pub(super) returns: Option<SyncSender<super::Frame>>,
}

impl Door {
    pub(super) fn run(mut self) {
        while !self.callers.is_empty() && !self.incarnation.is_ended() {
            let handshakes: Vec<Handshake> = self
                .callers
                .iter()
                .map(|(rank, channel)| self.terms.handshake(*rank, *channel, self.incarnation.number()))
                .collect();
            let identity = self.incarnation.identity();
            match self.listener.accept_one_of(identity, &handshakes, Instant::now() + LOOK) {
                Ok((place, link)) => self.let_in(place, link),
                Err(LinkError::Timeout { .. }) => {}
                Err(error) => {
                    self.incarnation.tell(LinkCause::Broken(error.to_string()));
                    return;
                }
            }
        }
    }

    fn let_in(&mut self, place: usize, link: Link) {
        self.incarnation.bind(&link);
        let (rank, channel) = self.callers.swap_remove(place);
        match channel {
            Channel::Group => {
                self.incarnation.tell(LinkCause::Group(rank, Box::new(link)));
            }
            Channel::Steps => {
                let previous =
                    Previous { link, rank, incarnation: self.incarnation.clone(), returns: self.returns.take() };
                let started = thread::Builder::new().name("previous-rank".to_owned()).spawn(move || previous.run());
                if let Err(error) = started {
                    let reason = format!("the system refused a thread: {error}");
                    self.incarnation.tell(LinkCause::Broken(reason));
                }
            }
        }
    }
}

/// The thread of the link that steps come over.
struct Previous {
    link: Link,
    rank: u32,
    incarnation: Arc<Incarnation>,
    returns: Option<SyncSender<super::Frame>>,
}

impl Previous {
    fn run(mut self) {
        if self.incarnation.tell(LinkCause::Previous) {
            let reason = self.read().err().map_or_else(|| "nobody takes its frames".to_owned(), |e| e.to_string());
            self.incarnation.tell(LinkCause::Broken(format!("rank {}: {reason}", self.rank)));
        }
    }

    fn read(&mut self) -> Result<(), StepError> {
        let mut metadata = Vec::new();
        loop {
            let mut values = Vec::new();
            match self.link.recv_into(&mut metadata, &mut values, Instant::now() + QUIET) {
                Ok(_) => {
                    let step = step_bytes::read(&metadata)?;
                    let taken = match &self.returns {
                        Some(returns) => returns.send((step, values)).is_ok(),
                        None => self.incarnation.tell(LinkCause::Step(step, values)),
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
}
