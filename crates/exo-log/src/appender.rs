//! Gathers appends: one record of the log, and one fsync, for all that wait.

use crate::AppendError;
use crate::batch::{Batch, EncodedPart, Outcome, PartOutcome};
use crate::counters::count;
use crate::event_log::Appended;
use crate::raft_types::{Raft, RaftTypes, Vote};
use crate::shared::Shared;
use futures::stream::{FuturesUnordered, StreamExt};
use openraft::error::{ClientWriteError, Fatal};
use openraft::raft::ClientWriteResult;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

/// Appends that wait, at most; callers beyond wait in line.
pub(crate) const QUEUE: usize = 1024;

/// One append at most.
pub(crate) const LARGEST: usize = 4 << 20;

/// A group is full beyond this.
const GROUP_BYTES: usize = 1 << 20;
const GROUP_APPENDS: usize = 4096;

/// Groups under way: while one is on its way to the others, the next one is written here. Where there are no others,
/// a second group would only halve the first.
const UNDER_WAY: usize = 2;
const UNDER_WAY_ALONE: usize = 1;

/// How long a group waits for those who were in the last one and are about to come again: a small part of what that one
/// took, and so many turns of everybody else at most.
const SHARE: u32 = 8;
const LONGEST_WAIT: Duration = Duration::from_micros(500);
const TURNS: usize = 512;

/// An append that waits.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) part: EncodedPart,
    pub(crate) deadline: Instant,
    pub(crate) answer: oneshot::Sender<Result<Appended, AppendError>>,
}

type Answers = Vec<oneshot::Sender<Result<Appended, AppendError>>>;

/// Gathers until the log is closed; what waits then is told so.
pub(crate) async fn run(shared: Arc<Shared>, mut queue: mpsc::Receiver<Pending>) {
    let mut under_way = FuturesUnordered::new();
    let mut number = 0;
    let mut gathered = Vec::new();
    let mut last = Last { appends: 1, took: Duration::ZERO };
    loop {
        let most = if shared.is_alone() { UNDER_WAY_ALONE } else { UNDER_WAY };
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => break,
            Some(done) = under_way.next(), if !under_way.is_empty() => last = done,
            count = queue.recv_many(&mut gathered, 1), if under_way.len() < most => {
                if count == 0 {
                    break;
                }
                gather(&mut queue, &mut gathered);
                if under_way.is_empty() {
                    wait_for_the_same(&mut queue, &mut gathered, &last).await;
                }
                number += 1;
                under_way.push(submit(&shared, number, std::mem::take(&mut gathered)));
            }
        }
    }
    queue.close();
    while let Ok(pending) = queue.try_recv() {
        drop(pending.answer.send(Err(AppendError::Closed)));
    }
    while under_way.next().await.is_some() {}
}

/// The last group.
#[derive(Debug, Clone, Copy)]
struct Last {
    appends: usize,
    took: Duration,
}

/// Who waited for the last group may come again in a moment; without them the rounds of the disk would be half as full
/// and twice as many. A lone writer waits for nobody.
async fn wait_for_the_same(queue: &mut mpsc::Receiver<Pending>, gathered: &mut Vec<Pending>, last: &Last) {
    let begin = Instant::now();
    let longest = (last.took / SHARE).min(LONGEST_WAIT);
    for _ in 0..TURNS {
        if gathered.len() >= last.appends || begin.elapsed() > longest {
            return;
        }
        tokio::task::yield_now().await;
        gather(queue, gathered);
    }
}

/// Takes what else waits.
fn gather(queue: &mut mpsc::Receiver<Pending>, gathered: &mut Vec<Pending>) {
    let mut bytes: usize = gathered.iter().map(|pending| pending.part.size()).sum();
    while gathered.len() < GROUP_APPENDS && bytes < GROUP_BYTES {
        let Ok(pending) = queue.try_recv() else { return };
        bytes += pending.part.size();
        gathered.push(pending);
    }
}

async fn submit(shared: &Arc<Shared>, number: u64, pending: Vec<Pending>) -> Last {
    let now = Instant::now();
    let appends = pending.len();
    let deadline = pending.iter().map(|pending| pending.deadline).max().unwrap_or(now);
    let mut parts = Vec::with_capacity(pending.len());
    let mut answers = Answers::with_capacity(pending.len());
    for Pending { part, deadline, answer } in pending {
        if deadline <= now {
            drop(answer.send(Err(AppendError::Busy)));
        } else if !answer.is_closed() {
            parts.push(part);
            answers.push(answer);
        }
    }
    if answers.is_empty() {
        return Last { appends, took: Duration::ZERO };
    }
    count(&shared.counting.groups);
    match write(shared, number, parts, deadline).await {
        Ok(outcome) => answer_each(answers, outcome),
        Err(error) => answers.into_iter().for_each(|answer| drop(answer.send(Err(error.clone())))),
    }
    Last { appends, took: now.elapsed() }
}

async fn write(
    shared: &Arc<Shared>,
    number: u64,
    parts: Vec<EncodedPart>,
    deadline: Instant,
) -> Result<Outcome, AppendError> {
    if timeout_at(deadline, shared.appends_go_on()).await.is_err() {
        return Err(AppendError::Busy);
    }
    let Some(raft) = shared.raft() else { return Err(not_running(shared)) };
    if leads_nobody(shared, &raft) {
        return Err(AppendError::NotLeader { leader: None });
    }
    let batch = Arc::new(Batch::new(number, parts));
    let submitted = timeout_at(deadline, raft.client_write_ff(batch)).await;
    let receiver = match submitted {
        Ok(Ok(receiver)) => receiver,
        Ok(Err(fatal)) => return Err(after_failure(shared, number, Some(&fatal))),
        Err(_) => return Err(unknown("it could not be handed to the log in time")),
    };
    match timeout_at(deadline, receiver).await {
        Ok(Ok(result)) => result_of(shared, result),
        Ok(Err(_)) => Err(after_failure(shared, number, None)),
        Err(_) => Err(unknown("no majority acknowledged it in time")),
    }
}

/// A leader that no majority answers accepts nothing.
fn leads_nobody(shared: &Shared, raft: &Raft) -> bool {
    let server = raft.server_metrics();
    let metrics = server.borrow();
    let vote: Vote = metrics.vote;
    let leads = vote.is_committed() && vote.leader_id().voted_for() == Some(shared.own.raft_id.0);
    let configs = metrics.membership_config.membership().get_joint_config();
    let heard = crate::keeper::quorum_heard(shared, configs);
    leads && heard.is_none_or(|heard| heard >= shared.options.election.1)
}

fn result_of(shared: &Shared, result: ClientWriteResult<RaftTypes>) -> Result<Outcome, AppendError> {
    match result {
        Ok(response) => Ok(response.data),
        Err(ClientWriteError::ForwardToLeader(_)) => {
            let leader = shared.standing.latest().leader.filter(|leader| *leader != shared.own.node_id);
            Err(AppendError::NotLeader { leader })
        }
        Err(ClientWriteError::ChangeMembershipError(error)) => Err(unknown(&error.to_string())),
    }
}

/// openraft ended on the way. What did not reach the disk here never went to anybody, and is taken back.
fn after_failure(shared: &Shared, number: u64, fatal: Option<&Fatal<u64>>) -> AppendError {
    match shared.store.failure() {
        Some(failure) if !shared.store.has_batch(number) => AppendError::Storage(failure),
        _ => unknown(&fatal.map_or_else(|| "the log stopped".to_owned(), ToString::to_string)),
    }
}

fn not_running(shared: &Shared) -> AppendError {
    shared.store.failure().map_or(AppendError::NotLeader { leader: None }, AppendError::Storage)
}

fn unknown(reason: &str) -> AppendError {
    AppendError::Unknown { reason: reason.to_owned() }
}

fn answer_each(answers: Answers, outcome: Outcome) {
    let mut outcomes = outcome.into_iter();
    for answer in answers {
        let result = match outcomes.next() {
            Some(PartOutcome::Applied { first, last }) => Ok(Appended { first, last }),
            Some(PartOutcome::Void { expected }) => Err(AppendError::NotNext { expected }),
            None => Err(unknown("the log has no answer for it")),
        };
        drop(answer.send(result));
    }
}
