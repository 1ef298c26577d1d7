//! What the threads of one incarnation share.

use crate::inbox::{Cause, Inbox, LinkCause};
use exo_identity::{Facts, Identity};
use exo_tensor_link::{Closer, Link};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Ends their waits, and holds their links to what the cluster says of its nodes.
pub(crate) struct Incarnation {
    number: u64,
    identity: Identity,
    inbox: Inbox,
    ended: AtomicBool,
    open: Mutex<Vec<Open>>,
}

/// A link that is there.
struct Open {
    peer: Facts,
    closer: Closer,
}

impl Incarnation {
    pub(super) fn new(number: u64, identity: Identity, inbox: Inbox) -> Self {
        Self { number, identity, inbox, ended: AtomicBool::new(false), open: Mutex::default() }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// What links show; follows renewals.
    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(super) fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Closes every link, now and later.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.open().drain(..).for_each(|open| open.closer.close());
    }

    /// From now on the link ends with the others, or with its node's membership.
    pub(super) fn bind(&self, link: &Link) {
        let closer = link.closer();
        match link.peer() {
            Ok(peer) => self.open().push(Open { peer, closer }),
            Err(_) => closer.close(),
        }
        if self.is_ended() {
            self.end();
        }
        // The node may have been thrown out since it showed its certificate.
        self.review();
    }

    /// Closes the links to nodes that are none of ours any more, and tells. A certificate that merely ended closes
    /// nothing: it was good when the link was made.
    pub(crate) fn review(&self) {
        let mut reasons = Vec::new();
        self.open().retain(|open| match self.identity.check_facts(&open.peer) {
            Ok(()) => true,
            Err(reason) => {
                open.closer.refuse(reason.clone());
                reasons.push(reason.to_string());
                false
            }
        });
        for reason in reasons {
            self.tell(LinkCause::Broken(reason));
        }
    }

    /// False without a runner that could be told.
    pub(super) fn tell(&self, cause: LinkCause) -> bool {
        self.inbox.send(Cause::Link(self.number, cause)).is_ok()
    }

    fn open(&self) -> MutexGuard<'_, Vec<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
