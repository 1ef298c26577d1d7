//! Runs openraft: starts it, gives it its rhythm, starts it again when the disk came back.

use crate::counters::count;
use crate::network::{Network, ask_for_vote};
use crate::pacemaker::{Beat, Duty};
use crate::raft_types::{PeerNode, Raft, index_of, members_of};
use crate::shared::Shared;
use crate::wire::PreVote;
use crate::{LogOptions, LogRole, LogStanding, Members, OpenError, PeerLag};
use exo_types::NodeId;
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use openraft::metrics::RaftMetrics;
use openraft::{Config, ServerState, SnapshotPolicy};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// Between two attempts to open a log whose disk failed.
const REOPEN_EVERY: Duration = Duration::from_secs(1);

/// What a standing tells passes with time: it is looked at at least so often.
const LOOK: Duration = Duration::from_secs(1);

/// openraft ends at once when it is told to; what hangs longer is a hung disk.
const SHUTDOWN: Duration = Duration::from_secs(5);

type Metrics = RaftMetrics<u64, PeerNode>;

/// Why openraft does not run any more.
enum End {
    Stopped,
    Failed,
}

/// Keeps the log going until it is closed.
pub(crate) async fn run(shared: Arc<Shared>) {
    loop {
        if let Some(raft) = start(&shared).await {
            shared.changing().raft = Some(raft.clone());
            let end = Keeper::new(&shared, &raft).keep().await;
            shared.changing().raft = None;
            stop(raft).await;
            if matches!(end, End::Stopped) {
                break;
            }
        }
        if !reopen(&shared).await {
            break;
        }
        count(&shared.counting.reopened);
    }
    let LogStanding { fault, is_over, .. } = shared.standing.latest();
    stand_still(&shared, fault, is_over);
}

async fn start(shared: &Arc<Shared>) -> Option<Raft> {
    let network = Network(Arc::downgrade(shared));
    let config = Arc::new(config(shared));
    let raft = Raft::new(shared.own.raft_id.0, config, network, shared.store.clone(), shared.machine.clone()).await;
    if let Err(error) = &raft {
        tracing::error!(%error, "the log cannot be started");
    }
    raft.ok()
}

async fn stop(raft: Raft) {
    if timeout(SHUTDOWN, raft.shutdown()).await.is_err() {
        tracing::warn!("the log did not stop in time; its disk may hang");
    }
}

/// openraft's own elections and heartbeats are off: the pacemaker has them.
fn config(shared: &Shared) -> Config {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let (least, most) = shared.options.election;
    let least = millis(least).max(2);
    Config {
        cluster_name: "exo".to_owned(),
        election_timeout_min: least,
        election_timeout_max: millis(most).max(least + 1),
        // What openraft makes of it: the deadline of one message.
        heartbeat_interval: millis(LogOptions::MESSAGE).min(least - 1),
        install_snapshot_timeout: millis(Duration::from_secs(60)),
        max_payload_entries: 256,
        replication_lag_threshold: u64::MAX / 2,
        snapshot_policy: SnapshotPolicy::Never,
        // Records are dropped when the keeper says so.
        max_in_snapshot_log_to_keep: u64::MAX / 2,
        enable_heartbeat: false,
        enable_elect: false,
        ..Config::default()
    }
}

/// Tells that this log takes no part.
fn stand_still(shared: &Shared, fault: Option<String>, is_over: bool) {
    let before = shared.standing.latest();
    let (role, leader, lag) = (LogRole::Stopped, None, BTreeMap::new());
    let standing = LogStanding { role, leader, lag, quorum_heard: None, fault, is_over, ..before };
    shared.standing.tell(standing);
    shared.pacemaker().on_duty(Instant::now(), Duty::Learn);
}

/// Opens the log again once the disk works. False when it never will, or the log is closed.
async fn reopen(shared: &Shared) -> bool {
    let fault = shared.store.failure().map_or_else(|| "the log stopped".to_owned(), |error| error.to_string());
    tracing::error!(fault, "the log takes no part until its disk works again");
    stand_still(shared, Some(fault), false);
    loop {
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => return false,
            () = sleep(REOPEN_EVERY) => {}
        }
        match shared.store.reopen().await {
            Ok(()) => return true,
            Err(error @ (OpenError::Damaged { .. } | OpenError::Newer { .. } | OpenError::Foreign { .. })) => {
                tracing::error!(%error, "the log is not what it was");
                stand_still(shared, Some(error.to_string()), true);
                shared.stop.cancelled().await;
                return false;
            }
            Err(error) => stand_still(shared, Some(error.to_string()), false),
        }
    }
}

/// One life of openraft.
struct Keeper<'a> {
    shared: &'a Arc<Shared>,
    raft: &'a Raft,
    asking: Option<BoxFuture<'static, bool>>,
    /// The snapshot whose records were dropped last.
    dropped_behind: u64,
}

impl<'a> Keeper<'a> {
    fn new(shared: &'a Arc<Shared>, raft: &'a Raft) -> Self {
        Self { shared, raft, asking: None, dropped_behind: 0 }
    }

    async fn keep(mut self) -> End {
        let mut server = self.raft.server_metrics();
        let mut snapshot_due = self.shared.machine.watch_snapshot_due();
        loop {
            let metrics = self.raft.metrics().borrow().clone();
            if metrics.running_state.is_err() {
                return End::Failed;
            }
            self.refresh(&metrics);
            let due = *snapshot_due.borrow_and_update();
            self.compact(&metrics, due).await;
            let now = Instant::now();
            let latest = now + LOOK;
            let due = self.shared.pacemaker().due().map_or(latest, |due| due.min(latest));
            tokio::select! {
                biased;
                () = self.shared.stop.cancelled() => return End::Stopped,
                changed = server.changed() => {
                    if changed.is_err() {
                        return End::Failed;
                    }
                }
                changed = snapshot_due.changed() => {
                    if changed.is_err() {
                        return End::Stopped;
                    }
                }
                wanted = outcome(&mut self.asking) => self.on_asked(wanted).await,
                () = self.shared.wake.notified() => {}
                () = sleep_until(due) => {}
            }
            let beat = self.shared.pacemaker().poll(Instant::now());
            self.on_beat(beat).await;
        }
    }

    async fn on_beat(&mut self, beat: Option<Beat>) {
        match beat {
            None => {}
            Some(Beat::Heartbeat) => drop(self.raft.trigger().heartbeat().await),
            Some(Beat::AskForVotes) => self.asking = Some(self.ask()),
        }
    }

    async fn on_asked(&mut self, wanted: bool) {
        self.asking = None;
        if wanted {
            count(&self.shared.counting.elections);
            drop(self.raft.trigger().elect().await);
        } else {
            self.shared.pacemaker().on_refused(Instant::now());
        }
    }

    /// Asks the voters whether this one should lead: an election that cannot be won disturbs those who lead.
    fn ask(&self) -> BoxFuture<'static, bool> {
        let membership = self.raft.server_metrics().borrow().membership_config.clone();
        let configs: Vec<BTreeSet<u64>> = membership.membership().get_joint_config().clone();
        let nodes: BTreeMap<u64, NodeId> =
            membership.nodes().filter_map(|(id, node)| Some((*id, node.0.clone()?))).collect();
        let shared = self.shared.clone();
        ask_voters(shared, configs, nodes).boxed()
    }

    fn refresh(&self, metrics: &Metrics) {
        let shared = self.shared;
        let standing = standing(shared, metrics);
        let voters: BTreeSet<u64> = metrics.membership_config.voter_ids().collect();
        let own = shared.own.raft_id.0;
        let duty = match metrics.state {
            ServerState::Leader => Duty::Lead,
            _ if voters.contains(&own) => Duty::Follow { alone: voters.len() == 1 },
            _ => Duty::Learn,
        };
        shared.set_alone(voters.len() == 1);
        shared.pacemaker().on_duty(Instant::now(), duty);
        shared.standing.tell(standing);
    }

    /// Makes a snapshot when one is due, and drops the records that the last one made superfluous.
    async fn compact(&mut self, metrics: &Metrics, due: bool) {
        if due {
            drop(self.raft.trigger().snapshot().await);
        }
        let snapshot = index_of(metrics.snapshot);
        if snapshot > self.dropped_behind {
            self.dropped_behind = snapshot;
            let upto = self.shared.store.droppable(snapshot);
            if upto > index_of(metrics.purged) {
                drop(self.raft.trigger().purge_log(upto).await);
            }
        }
    }
}

/// Waits for what is asked, if anything is.
async fn outcome(asking: &mut Option<BoxFuture<'static, bool>>) -> bool {
    match asking {
        Some(asking) => asking.await,
        None => std::future::pending().await,
    }
}

async fn ask_voters(shared: Arc<Shared>, configs: Vec<BTreeSet<u64>>, nodes: BTreeMap<u64, NodeId>) -> bool {
    let own = shared.own.raft_id.0;
    let ask = PreVote { last: shared.store.last() };
    let mut granted = BTreeSet::from([own]);
    let others: BTreeSet<u64> = configs.iter().flatten().copied().filter(|id| *id != own).collect();
    let ways = others.into_iter().filter_map(|id| Some((id, nodes.get(&id)?.clone())));
    let mut answers: FuturesUnordered<_> = ways.map(|(id, node)| ask_for_vote(shared.clone(), id, node, ask)).collect();
    loop {
        if configs.iter().all(|config| is_majority(config, &granted)) {
            return true;
        }
        match answers.next().await {
            Some(answer) => granted.extend(answer),
            None => return false,
        }
    }
}

fn is_majority(config: &BTreeSet<u64>, granted: &BTreeSet<u64>) -> bool {
    config.intersection(granted).count() * 2 > config.len()
}

fn standing(shared: &Shared, metrics: &Metrics) -> LogStanding {
    let membership = metrics.membership_config.membership();
    let members = members_of(membership);
    let configs = membership.get_joint_config();
    let node_of = |id: u64| membership.get_node(&id).and_then(|node| node.0.clone());
    let last_log = metrics.last_log_index.unwrap_or(0);
    let leads = metrics.state == ServerState::Leader;
    let quorum_heard = if leads { quorum_heard(shared, configs) } else { None };
    let has_majority = quorum_heard.is_some_and(|heard| heard < shared.options.election.1);
    let role = match metrics.state {
        ServerState::Leader if has_majority => LogRole::Leader,
        ServerState::Leader | ServerState::Candidate => LogRole::Candidate,
        ServerState::Follower => LogRole::Follower,
        ServerState::Learner => LogRole::Learner,
        ServerState::Shutdown => LogRole::Stopped,
    };
    // Who was last voted for may be long gone.
    let is_there = if leads { has_majority } else { !shared.pacemaker().misses_leader(Instant::now()) };
    let leader = metrics.current_leader.filter(|_| is_there).and_then(node_of);
    LogStanding {
        session: shared.session(),
        raft_id: shared.own.raft_id,
        term: metrics.current_term,
        role,
        leader,
        lag: lag(shared, metrics, &members),
        members,
        joint: configs.len() > 1,
        last_log,
        committed: index_of(shared.store.committed()),
        applied: shared.machine.progress().event,
        quorum_heard,
        fault: None,
        is_over: false,
    }
}

fn lag(shared: &Shared, metrics: &Metrics, members: &Members) -> BTreeMap<NodeId, PeerLag> {
    let Some(replication) = &metrics.replication else { return BTreeMap::new() };
    let last_log = metrics.last_log_index.unwrap_or(0);
    let changing = shared.changing();
    let others = members.iter().filter(|member| member.raft_id != shared.own.raft_id);
    let lag = others.map(|member| {
        let id = member.raft_id.0;
        let matched = replication.get(&id).copied().flatten();
        // Who has nothing lacks everything, the record at 0 included.
        let entries = matched.map_or(last_log + 1, |matched| last_log.saturating_sub(matched.index));
        let heard = changing.heard.get(&id).map(Instant::elapsed);
        (member.node_id.clone(), PeerLag { entries, heard })
    });
    lag.collect()
}

/// Since when a majority of each group of voters was last heard.
pub(crate) fn quorum_heard(shared: &Shared, configs: &[BTreeSet<u64>]) -> Option<Duration> {
    let changing = shared.changing();
    let own = shared.own.raft_id.0;
    let since = |id: &u64| match changing.heard.get(id) {
        _ if *id == own => Duration::ZERO,
        Some(heard) => heard.elapsed(),
        None => Duration::MAX,
    };
    let of_config = |config: &BTreeSet<u64>| {
        let mut ages: Vec<Duration> = config.iter().map(since).collect();
        ages.sort_unstable();
        ages.get(config.len() / 2).copied().unwrap_or(Duration::MAX)
    };
    configs.iter().map(of_config).max().filter(|age| *age < Duration::MAX)
}
