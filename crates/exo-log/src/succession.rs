//! Who leads next.

use crate::network::{CallError, ask_to_take_over};
use crate::shared::Shared;
use crate::wire::{Refused, TakeOver};
use crate::{EventLog, HandOverError, LogRole, LogStanding, Member};
use exo_types::NodeId;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// Between two questions who has everything.
const CATCH_UP: Duration = Duration::from_millis(20);

/// While it lives, this log does not take over when another one leaves: it is about to leave too.
#[derive(Debug)]
pub struct Declining(Arc<Shared>);

impl Drop for Declining {
    fn drop(&mut self) {
        self.0.on_declining(false);
    }
}

/// While it lives, appends wait.
struct HeldAppends<'a>(&'a Shared);

impl<'a> HeldAppends<'a> {
    fn new(shared: &'a Shared) -> Self {
        shared.on_handing_over(true);
        Self(shared)
    }
}

impl Drop for HeldAppends<'_> {
    fn drop(&mut self) {
        self.0.on_handing_over(false);
    }
}

impl EventLog {
    /// Has this log lead on nobody's wish from now on. Two that leave would else hand over to each other.
    pub fn decline_to_lead(&self) -> Declining {
        self.shared.on_declining(true);
        Declining(self.shared.clone())
    }

    /// Lets the voter that has most of the log lead, of those that stay. Leader only; returns who leads then. Appends
    /// wait meanwhile: an heir that has everything is elected at once.
    pub async fn hand_over(&self, within: Duration) -> Result<NodeId, HandOverError> {
        let deadline = Instant::now() + within;
        let mut watch = self.standing();
        let standing = watch.borrow_and_update().clone();
        if standing.role != LogRole::Leader {
            return Err(HandOverError::NotLeader { leader: standing.leader });
        }
        let _appends_wait = HeldAppends::new(&self.shared);
        while !self.find_heir().await? {
            if Instant::now() + CATCH_UP >= deadline {
                return Err(HandOverError::Timeout);
            }
            sleep(CATCH_UP).await;
        }
        let own = &self.shared.own.node_id;
        let another = |standing: &LogStanding| standing.leader.as_ref().is_some_and(|leader| leader != own);
        let led = timeout_at(deadline, watch.wait_for(another)).await.map_err(|_| HandOverError::Timeout)?;
        let leader = led.map_err(|_| HandOverError::Closed)?.leader.clone();
        leader.ok_or(HandOverError::Timeout)
    }

    /// Asks the other voters, one after the other, until one campaigns. False when none of them has the whole log yet.
    async fn find_heir(&self) -> Result<bool, HandOverError> {
        let standing = self.shared.standing.latest();
        let ask = TakeOver { last: self.shared.store.last() };
        let own = &self.shared.own;
        let silent = self.shared.options.election.0;
        let lag = |member: &Member| {
            let lag = standing.lag.get(&member.node_id);
            let answers = lag.and_then(|lag| lag.heard).is_some_and(|heard| heard < silent);
            (!answers, lag.map_or(u64::MAX, |lag| lag.entries))
        };
        let mut others: Vec<_> = standing.members.voters.iter().filter(|member| *member != own).collect();
        others.sort_by_key(|member| (lag(member), member.raft_id));
        let mut all_decline = true;
        for heir in others {
            match ask_to_take_over(&self.shared, heir.raft_id.0, &heir.node_id, ask).await {
                Ok(()) => return Ok(true),
                Err(CallError::Refused(Refused::Declines)) => {}
                Err(CallError::Refused(_)) => all_decline = false,
                // It may campaign all the same: another one that did too would only be in its way.
                Err(_) => return Err(HandOverError::Timeout),
            }
        }
        if all_decline { Err(HandOverError::NobodyElse) } else { Ok(false) }
    }
}
