//! The way in: what peers ask, checked before openraft hears of it.

use crate::counters::count;
use crate::raft_types::{LogId, PeerNode, Raft, RaftTypes, Snapshot, SnapshotMeta, Vote};
use crate::shared::Shared;
use crate::wire::{Letter, PreVote, PreVoteAnswer, Refused, Request, SnapshotAnswer, SnapshotPart, encode_answer};
use bytes::Bytes;
use exo_ambient::{Bug, planted};
use exo_types::NodeId;
use openraft::CommittedLeaderId;
use openraft::raft::{AppendEntriesRequest, VoteRequest};
use std::io::Cursor;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Every request is answered within this time; the asker gave up long before.
const DEADLINE: Duration = Duration::from_secs(10);

/// A larger State is none of ours.
const LARGEST_SNAPSHOT: u64 = 1 << 30;

/// A snapshot that comes in parts.
#[derive(Debug)]
pub(crate) struct Assembly {
    vote: Vote,
    meta: SnapshotMeta,
    total: u64,
    checksum: u32,
    data: Vec<u8>,
}

/// Answers one request of a peer, whatever it is.
pub(crate) async fn answer(shared: &Shared, from: &NodeId, request: &[u8]) -> Result<Bytes, Refused> {
    let letter = Letter::decode(request)?;
    let (raft, tag) = {
        let changing = shared.changing();
        (changing.raft.clone(), changing.session.as_ref().map(|(_, tag)| *tag))
    };
    let (Some(raft), Some(tag)) = (raft, tag) else { return Err(Refused::NotReady) };
    if letter.session != tag {
        return Err(Refused::OtherSession);
    }
    if letter.to != shared.own.raft_id.0 {
        return Err(Refused::WrongAddressee);
    }
    let _turn = shared.answers.try_acquire().map_err(|_| Refused::Busy)?;
    check_sender(&raft, from, letter.from)?;
    let handled = handle(shared, &raft, letter);
    timeout(DEADLINE, handled).await.map_err(|_| Refused::Busy)?
}

/// Counts a refusal, and says it once in a while at most: a flood must not flood the journal.
pub(crate) fn count_refusal(shared: &Shared, from: &NodeId, refused: Refused) {
    let counting = &shared.counting;
    count(match refused {
        Refused::Garbage => &counting.garbage,
        Refused::OtherVersion { .. } => &counting.other_version,
        Refused::OtherSession => &counting.other_session,
        Refused::WrongAddressee => &counting.wrong_addressee,
        Refused::ForeignId => &counting.foreign_id,
        Refused::Busy => &counting.busy,
        Refused::NotReady => &counting.not_ready,
        Refused::Declines | Refused::Behind => &counting.declined,
    });
    tracing::debug!(%from, %refused, "a request of a peer was refused");
}

/// A member speaks for itself alone. Who is not known as a member may be one: this log may not have heard of it yet.
fn check_sender(raft: &Raft, from: &NodeId, raft_id: u64) -> Result<(), Refused> {
    let membership = raft.server_metrics().borrow().membership_config.clone();
    let claimed = membership.nodes().find(|(id, _)| **id == raft_id);
    match claimed {
        Some((_, PeerNode(Some(node)))) if node != from => Err(Refused::ForeignId),
        _ => Ok(()),
    }
}

async fn handle(shared: &Shared, raft: &Raft, letter: Letter) -> Result<Bytes, Refused> {
    let sender = letter.from;
    match letter.request {
        Request::Append(mut append) => {
            check_append(shared, raft, sender, &append)?;
            let current = raft.server_metrics().borrow().vote;
            if planted(Bug::NoTermCheck) && append.vote < current {
                append.vote = current;
            }
            let vote = append.vote;
            let answer = raft.append_entries(append).await.map_err(|_| Refused::NotReady)?;
            on_leader_spoke(shared, raft, vote);
            Ok(encode_answer(&answer))
        }
        Request::Vote(vote) => on_vote(shared, raft, sender, vote, false).await,
        Request::SanctionedVote(vote) => on_vote(shared, raft, sender, vote, true).await,
        Request::PreVote(ask) => Ok(encode_answer(&on_pre_vote(shared, ask))),
        Request::Snapshot(part) => {
            check_vote(raft, sender, part.vote, true)?;
            let vote = part.vote;
            let answer = on_snapshot(shared, raft, part).await?;
            on_leader_spoke(shared, raft, vote);
            Ok(encode_answer(&answer))
        }
        Request::TakeOver(ask) => {
            if raft.server_metrics().borrow().current_leader != Some(sender) {
                return Err(Refused::ForeignId);
            }
            if shared.declines() {
                return Err(Refused::Declines);
            }
            if shared.store.last() < ask.last {
                return Err(Refused::Behind);
            }
            shared.sanction();
            raft.trigger().elect().await.map_err(|_| Refused::NotReady)?;
            Ok(encode_answer(&()))
        }
    }
}

/// A leader whose vote counts here keeps this one from asking for votes.
fn on_leader_spoke(shared: &Shared, raft: &Raft, vote: Vote) {
    let current = raft.metrics().borrow().vote;
    let term = vote.leader_id().get_term();
    if current.leader_id().get_term() <= term {
        shared.pacemaker().on_heard(Instant::now(), term);
    }
}

fn check_vote(raft: &Raft, sender: u64, vote: Vote, of_a_leader: bool) -> Result<(), Refused> {
    if vote.leader_id().voted_for() != Some(sender) {
        return Err(Refused::ForeignId);
    }
    if vote.is_committed() != of_a_leader {
        return Err(Refused::Garbage);
    }
    // Two leaders of one term: one of them lies.
    let current = raft.metrics().borrow().vote;
    let same_term = current.leader_id().get_term() == vote.leader_id().get_term();
    let other_leader = current.is_committed() && vote.is_committed() && current.leader_id() != vote.leader_id();
    if same_term && other_leader { Err(Refused::ForeignId) } else { Ok(()) }
}

fn check_append(
    shared: &Shared,
    raft: &Raft,
    sender: u64,
    append: &AppendEntriesRequest<RaftTypes>,
) -> Result<(), Refused> {
    check_vote(raft, sender, append.vote, true)?;
    // What is committed never changes: another record in its place is a lie.
    if let (Some(committed), Some(prev)) = (shared.store.committed(), append.prev_log_id)
        && prev.index <= committed.index
        && prev > committed
    {
        return Err(Refused::Garbage);
    }
    let term = append.vote.leader_id().get_term();
    let mut last = append.prev_log_id;
    for entry in &append.entries {
        let next = last.map_or(0, |last| last.index.saturating_add(1));
        let follows = entry.log_id.index == next && Some(entry.log_id) > last && entry.log_id.leader_id.term <= term;
        if !follows {
            return Err(Refused::Garbage);
        }
        last = Some(entry.log_id);
    }
    Ok(())
}

fn on_pre_vote(shared: &Shared, ask: PreVote) -> PreVoteAnswer {
    let misses = shared.pacemaker().misses_leader(Instant::now());
    PreVoteAnswer { granted: misses && ask.last >= shared.store.last() }
}

/// openraft keeps faith with a silent leader for a fixed time. A voter that knows its leader to be gone, or whom the
/// leader itself asks, first takes note of the candidate's term: by records that cannot follow anything, so that the
/// term is all that is taken of them. Nobody counts that as a vote, and the request that follows is weighed.
async fn on_vote(
    shared: &Shared,
    raft: &Raft,
    sender: u64,
    request: VoteRequest<u64>,
    sanctioned: bool,
) -> Result<Bytes, Refused> {
    check_vote(raft, sender, request.vote, false)?;
    let current = raft.metrics().borrow().vote;
    let misses = sanctioned || shared.pacemaker().misses_leader(Instant::now());
    let newer = request.vote.leader_id().get_term() > current.leader_id().get_term();
    if misses && newer && current.is_committed() && request.last_log_id >= shared.store.last() {
        let release = AppendEntriesRequest {
            vote: request.vote,
            prev_log_id: Some(LogId::new(CommittedLeaderId::new(0, 0), u64::MAX - 1)),
            entries: Vec::new(),
            leader_commit: None,
        };
        raft.append_entries(release).await.map_err(|_| Refused::NotReady)?;
    }
    let answer = raft.vote(request).await.map_err(|_| Refused::NotReady)?;
    if answer.vote_granted {
        shared.pacemaker().on_voted(Instant::now());
    }
    Ok(encode_answer(&answer))
}

async fn on_snapshot(shared: &Shared, raft: &Raft, part: SnapshotPart) -> Result<SnapshotAnswer, Refused> {
    if part.total > LARGEST_SNAPSHOT || part.data.is_empty() {
        return Err(Refused::Garbage);
    }
    let mut slot = shared.assembly.lock().await;
    let known = slot.take().filter(|assembly| assembly.is_of(&part));
    let mut assembly = match known {
        Some(assembly) => assembly,
        None if part.offset == 0 => Assembly::begin(&part),
        // The parts before went to another life of this process.
        None => return Err(Refused::NotReady),
    };
    let complete = assembly.take(part)?;
    if !complete {
        *slot = Some(assembly);
        return Ok(SnapshotAnswer::More);
    }
    drop(slot);
    if crc32c::crc32c(&assembly.data) != assembly.checksum {
        return Err(Refused::Garbage);
    }
    let snapshot = Snapshot { meta: assembly.meta, snapshot: Box::new(Cursor::new(assembly.data)) };
    let response = raft.install_full_snapshot(assembly.vote, snapshot).await.map_err(|_| Refused::NotReady)?;
    Ok(SnapshotAnswer::Done(response))
}

impl Assembly {
    fn begin(part: &SnapshotPart) -> Self {
        Self { vote: part.vote, meta: part.meta.clone(), total: part.total, checksum: part.checksum, data: Vec::new() }
    }

    fn is_of(&self, part: &SnapshotPart) -> bool {
        (self.vote, self.total, self.checksum) == (part.vote, part.total, part.checksum)
            && self.meta == part.meta
            && part.offset <= self.data.len() as u64
    }

    /// Takes a part in, again if it was sent again. Whether it was the last one.
    fn take(&mut self, part: SnapshotPart) -> Result<bool, Refused> {
        let offset = usize::try_from(part.offset).map_err(|_| Refused::Garbage)?;
        self.data.truncate(offset);
        self.data.extend(part.data);
        let length = self.data.len() as u64;
        if length > self.total { Err(Refused::Garbage) } else { Ok(length == self.total) }
    }
}
