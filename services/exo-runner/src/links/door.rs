//! The thread that lets in the ranks that call, and those that read what they send.

use super::{Channel, QUIET, StepError, Stop, Terms};
use crate::credentials::Credentials;
use crate::inbox::{Cause, Inbox, LinkCause};
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
    pub(super) credentials: Credentials,
    /// Who is still to come.
    pub(super) callers: Vec<(u32, Channel)>,
    pub(super) terms: Terms,
    pub(super) stop: Arc<Stop>,
    pub(super) incarnation: u64,
    pub(super) inbox: Inbox,
    /// Where frames go on rank 0; on others they are steps.
    pub(super) returns: Option<SyncSender<super::Frame>>,
}

impl Door {
    pub(super) fn run(mut self) {
        while !self.callers.is_empty() && !self.stop.is_asked() {
            // As it is now: a rank may wait for days.
            let Some(identity) = self.credentials.now() else { return };
            let handshakes: Vec<Handshake> = self
                .callers
                .iter()
                .map(|(rank, channel)| self.terms.handshake(*rank, *channel, self.incarnation))
                .collect();
            match self.listener.accept_one_of(&identity, &handshakes, Instant::now() + LOOK) {
                Ok((place, link)) => self.let_in(place, link),
                Err(LinkError::Timeout { .. }) => {}
                Err(error) => {
                    tell(&self.inbox, self.incarnation, LinkCause::Broken(error.to_string()));
                    return;
                }
            }
        }
    }

    fn let_in(&mut self, place: usize, link: Link) {
        self.stop.bind(&link);
        let (rank, channel) = self.callers.swap_remove(place);
        match channel {
            Channel::Group => {
                tell(&self.inbox, self.incarnation, LinkCause::Group(rank, Box::new(link)));
            }
            Channel::Steps => {
                let previous = Previous {
                    link,
                    rank,
                    incarnation: self.incarnation,
                    inbox: self.inbox.clone(),
                    returns: self.returns.take(),
                };
                let started = thread::Builder::new().name("previous-rank".to_owned()).spawn(move || previous.run());
                if let Err(error) = started {
                    let reason = format!("the system refused a thread: {error}");
                    tell(&self.inbox, self.incarnation, LinkCause::Broken(reason));
                }
            }
        }
    }
}

/// The thread of the link that steps come over.
struct Previous {
    link: Link,
    rank: u32,
    incarnation: u64,
    inbox: Inbox,
    returns: Option<SyncSender<super::Frame>>,
}

impl Previous {
    fn run(mut self) {
        if tell(&self.inbox, self.incarnation, LinkCause::Previous) {
            let reason = self.read().err().map_or_else(|| "nobody takes its frames".to_owned(), |e| e.to_string());
            tell(&self.inbox, self.incarnation, LinkCause::Broken(format!("rank {}: {reason}", self.rank)));
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
                        None => tell(&self.inbox, self.incarnation, LinkCause::Step(step, values)),
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

/// False without a runner that could be told.
fn tell(inbox: &Inbox, incarnation: u64, cause: LinkCause) -> bool {
    inbox.send(Cause::Link(incarnation, cause)).is_ok()
}
