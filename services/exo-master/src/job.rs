//! What takes its time, beside the master's loop: each job has a deadline and ends as a cause.

use crate::error::MasterError;
use crate::home::Slot;
use crate::lead::Waiting;
use crate::masters::{log_member, members_of};
use crate::sessions::Sessions;
use exo_bus::{Bus, RequestError, topics};
use exo_election::Roster;
use exo_log::{AppendError, Appended, DraftEvent, EventLog, MemberError};
use exo_state::encode_state;
use exo_types::{
    Blob, Event, EventIndex, JoinSession, LeaveSession, Millis, NodeId, SessionId, SessionReply, SnapshotBytes,
};
use futures::FutureExt;
use futures::future::BoxFuture;
use std::time::Duration;
use tokio::time::Instant;

/// A new leader that cannot find out within that time what was acknowledged tries again.
const PREPARE_DEADLINE: Duration = Duration::from_secs(5);
/// Longer than a change of members may take.
const JOIN_DEADLINE: Duration = Duration::from_secs(35);
/// A question or its answer may be lost, so it is asked again after that; who is asked does it once.
const ASK_AGAIN: Duration = Duration::from_secs(3);
/// A master that leaves and is not let go by then ends all the same.
pub(crate) const LEAVE_DEADLINE: Duration = Duration::from_secs(15);
/// For another to lead before this one leaves.
const HAND_OVER: Duration = Duration::from_secs(3);
/// Between two tries to be let go.
const LEAVE_PAUSE: Duration = Duration::from_millis(200);

/// A job.
pub(crate) type Job = BoxFuture<'static, Done>;

/// What ended. `life` is that of the session in which it began.
pub(crate) enum Done {
    Appended { life: u64, waiting: Waiting, joins: usize, result: Result<Appended, AppendError> },
    Prepared { life: u64, term: u64, result: Result<(), String> },
    Joined { entry: Box<Result<Entry, MasterError>>, result: Result<(), String> },
    Asked { life: u64, result: Result<(), String> },
    Members { life: u64, result: Result<(), MemberError> },
    Left { result: Result<(), String> },
}

/// An empty log that waits to be taken into a session. It is kept over failures: asked again, it is the same member.
pub(crate) struct Entry {
    pub(crate) session: SessionId,
    pub(crate) log: EventLog,
    pub(crate) slot: Slot,
}

/// Writes a round; `told` ends when everybody was told of it.
pub(crate) fn append(
    life: u64,
    log: EventLog,
    base: EventIndex,
    events: Vec<DraftEvent>,
    waiting: Waiting,
    joins: usize,
    told: impl Future<Output = ()> + Send + 'static,
) -> Job {
    async move {
        let result = log.append(base, events).await;
        if result.is_ok() && !waiting.is_empty() {
            told.await;
        }
        Done::Appended { life, waiting, joins, result }
    }
    .boxed()
}

/// Finds out everything that was acknowledged before this master led, and opens the session if that was not done.
pub(crate) fn prepare(life: u64, term: u64, session: SessionId, log: EventLog, when: Millis) -> Job {
    async move {
        let result = lead(&session, &log, when).await;
        Done::Prepared { life, term, result }
    }
    .boxed()
}

async fn lead(session: &SessionId, log: &EventLog, when: Millis) -> Result<(), String> {
    log.linearize(PREPARE_DEADLINE).await.map_err(|error| error.to_string())?;
    let state = log.state().borrow().clone();
    if state.session.as_ref() == Some(session) {
        return Ok(());
    }
    let base = state.last_event_applied_idx;
    drop(state);
    let opened = Event::SessionOpened { session: session.clone(), when };
    log.append(base, vec![DraftEvent::from(opened)]).await.map(drop).map_err(|error| error.to_string())
}

/// Has this master taken into a session, with what the log of its old one brings.
pub(crate) fn join(
    sessions: Sessions,
    bus: Bus,
    entry: Option<Entry>,
    session: SessionId,
    leader: NodeId,
    old: Option<EventLog>,
) -> Job {
    async move {
        let entry = match entry {
            Some(entry) => Ok(entry),
            None => sessions.begin_join(&session).await.map(|(log, slot)| Entry { session, log, slot }),
        };
        let result = match &entry {
            Ok(entry) => {
                // From here on peers write nothing more into the old one.
                sessions.address(Some(&entry.log));
                match brought(old).await {
                    Ok(brings) => ask(&bus, &entry.session, &leader, &entry.log, brings).await,
                    Err(reason) => Err(reason),
                }
            }
            Err(error) => Err(error.to_string()),
        };
        Done::Joined { entry: Box::new(entry), result }
    }
    .boxed()
}

/// Nothing that was acknowledged is left behind: a log that cannot be read now is read at the next try.
async fn brought(old: Option<EventLog>) -> Result<Option<Vec<u8>>, String> {
    let Some(log) = old else { return Ok(None) };
    let state = log.heritage().await.map_err(|error| error.to_string())?;
    let encoded = encode_state(&state);
    Ok(encoded.inspect_err(|error| tracing::error!(%error, "what runs here cannot be handed over")).ok())
}

/// Lets the leader know that this master belongs to its session.
pub(crate) fn ask_again(life: u64, bus: Bus, session: SessionId, leader: NodeId, log: EventLog) -> Job {
    async move {
        let result = ask(&bus, &session, &leader, &log, None).await;
        Done::Asked { life, result }
    }
    .boxed()
}

async fn ask(
    bus: &Bus,
    session: &SessionId,
    leader: &NodeId,
    log: &EventLog,
    brings: Option<Vec<u8>>,
) -> Result<(), String> {
    let request = JoinSession {
        session: session.clone(),
        member: log_member(&log.member()),
        brings: brings.map(|bytes| SnapshotBytes(Blob(bytes))),
    };
    let reply = ask_to_join(bus, leader, &request).await;
    done(reply.map_err(|error| error.to_string())?)
}

async fn ask_to_join(bus: &Bus, leader: &NodeId, request: &JoinSession) -> Result<SessionReply, RequestError> {
    let deadline = Instant::now() + JOIN_DEADLINE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match bus.request(topics::JOIN_SESSION, leader, request, left.min(ASK_AGAIN)).await {
            Err(RequestError::Timeout { .. }) if left > ASK_AGAIN => {}
            answer => return answer,
        }
    }
}

fn done(reply: SessionReply) -> Result<(), String> {
    match reply {
        SessionReply::Done => Ok(()),
        SessionReply::NotLeader { leader: Some(leader) } => Err(format!("node {leader} leads")),
        SessionReply::NotLeader { leader: None } => Err("nobody leads".to_owned()),
        SessionReply::Refused { message } => Err(message),
    }
}

/// Changes who takes part.
pub(crate) fn change_members(life: u64, log: EventLog, roster: Roster) -> Job {
    async move {
        let result = log.set_members(members_of(&roster.voters), members_of(&roster.learners)).await;
        Done::Members { life, result }
    }
    .boxed()
}

/// Has this master let go, for good.
pub(crate) fn leave(bus: Bus, session: SessionId, log: EventLog) -> Job {
    async move { Done::Left { result: go(&bus, &session, &log).await } }.boxed()
}

async fn go(bus: &Bus, session: &SessionId, log: &EventLog) -> Result<(), String> {
    let own = log.member();
    let _declining = log.decline_to_lead();
    let deadline = Instant::now() + LEAVE_DEADLINE;
    let mut reason = "nobody leads".to_owned();
    loop {
        let standing = log.standing().borrow().clone();
        let others = standing.members.iter().filter(|member| **member != own).count();
        if others == 0 || !standing.members.iter().any(|member| *member == own) {
            return Ok(());
        }
        match standing.leader {
            // A change of the members under way is ended first: the next leader would begin with taking it back.
            Some(leader) if leader == own.node_id && standing.joint => {}
            Some(leader) if leader == own.node_id => {
                if let Err(error) = log.hand_over(HAND_OVER).await {
                    reason = error.to_string();
                }
            }
            Some(leader) => {
                let request = LeaveSession { session: session.clone(), member: log_member(&own) };
                let left = deadline.saturating_duration_since(Instant::now());
                let reply = bus.request(topics::LEAVE_SESSION, &leader, &request, left.min(ASK_AGAIN)).await;
                match reply.map_err(|error| error.to_string()).and_then(done) {
                    Ok(()) => return Ok(()),
                    Err(why) => reason = why,
                }
            }
            None => {}
        }
        if Instant::now() + LEAVE_PAUSE >= deadline {
            return Err(format!("the session did not let this master go within {LEAVE_DEADLINE:?}: {reason}"));
        }
        tokio::time::sleep(LEAVE_PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::node;
    use exo_bus::MemoryNetwork;
    use exo_types::LogMember;

    #[tokio::test(start_paused = true)]
    async fn a_question_that_is_lost_is_asked_again() {
        let network = MemoryNetwork::new(3);
        let (leader, newcomer) = tokio::join!(network.join(node("a")), network.join(node("b")));
        let (leader, newcomer) = (leader.expect("joins"), newcomer.expect("joins"));
        let mut asked = leader.serve(topics::JOIN_SESSION).await.expect("serves");
        let request = JoinSession {
            session: SessionId { generation: 1, master_node_id: node("a") },
            member: LogMember { node_id: node("b"), raft_id: 1 },
            brings: None,
        };
        let answer = async {
            let lost = asked.recv().await.expect("a question");
            let again = asked.recv().await.expect("the same question");
            assert_eq!(again.request, lost.request);
            again.reply(&SessionReply::Done).expect("leaves");
            lost
        };
        let asking = ask_to_join(&newcomer, leader.node(), &request);
        let both = tokio::time::timeout(ASK_AGAIN * 2, async { tokio::join!(asking, answer) });
        let (answered, _lost) = both.await.expect("long before the deadline");
        assert_eq!(answered.expect("an answer"), SessionReply::Done);
    }
}
