//! The loop of the master.

mod carry_out;
mod lead;
mod members;

use crate::cause::{Cause, Inputs};
use crate::error::MasterError;
use crate::home::{DirectoryHome, LogHome};
use crate::job::{self, Entry, Job};
use crate::lead::{Lead, Work, refuse};
use crate::masters::Masters;
use crate::options::MasterOptions;
use crate::pages::Pages;
use crate::peers::{Addressee, PeerServer};
use crate::presence::Presence;
use crate::sessions::{Found, OpenSession, Sessions};
use exo_bus::{Bus, Incoming, PresenceChange, PresenceToken};
use exo_config::Config;
use exo_election::{Election, Options, OwnLog};
use exo_identity::Fingerprint;
use exo_log::{LogRole, LogStanding};
use exo_node::{DataDir, NodeHandle, serving};
use exo_telemetry::ServiceStatus;
use exo_types::{EventLogPage, MasterPresence, Millis, NodeId, NodePresence, RequestEventLog, SessionId, SessionReply};
use futures::stream::{FuturesUnordered, StreamExt};
use members::Asked;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Before what was due and could not be done is looked at again.
const AGAIN: Duration = Duration::from_millis(50);

/// What a master needs.
#[derive(Clone)]
pub struct MasterContext {
    /// The configuration.
    pub config: Arc<Config>,
    /// The node's directory; the logs are in `master/` there.
    pub data_dir: Arc<DataDir>,
    /// The cluster that this node belongs to.
    pub cluster: Fingerprint,
    /// The bus.
    pub bus: Bus,
    /// This process's place in the cluster.
    pub node: NodeHandle,
    /// What the service manager is told.
    pub status: ServiceStatus,
}

/// Runs a master until `shutdown`. What was accepted is on the disks of a majority then; nothing else is lost.
pub async fn run(context: MasterContext, shutdown: CancellationToken) -> Result<(), MasterError> {
    let home = Arc::new(DirectoryHome::new(context.data_dir.path(), context.cluster));
    let options = MasterOptions::from(context.config.as_ref());
    run_over(context.bus, options, home, Some(context.status), shutdown).await
}

/// The same in a process that other services share: a log that is found damaged is opened anew here, not in another
/// process, so that what they serve goes on.
pub async fn run_beside_others(context: MasterContext, shutdown: CancellationToken) -> Result<(), MasterError> {
    loop {
        match run(context.clone(), shutdown.clone()).await {
            Err(error @ MasterError::Damaged(_)) => tracing::error!(%error, "the master begins anew"),
            result => return result,
        }
    }
}

/// [`run`] with its logs anywhere, and without a service manager if there is none to be told.
pub async fn run_over(
    bus: Bus,
    options: MasterOptions,
    home: Arc<dyn LogHome>,
    status: Option<ServiceStatus>,
    shutdown: CancellationToken,
) -> Result<(), MasterError> {
    let addressee = Addressee::default();
    let _peers = PeerServer::start(&bus, addressee.clone()).await?;
    let sessions = Sessions::new(bus.clone(), home, addressee);
    let found = sessions.open_current().await?;
    let mut inputs = Inputs::open(&bus).await?;
    let mut master = Master::new(bus, options, sessions, found, status);
    master.tell_status(|status| status.ready());
    let result = master.go_round(&mut inputs, &shutdown).await;
    // Also after an error: whoever begins anew opens it again.
    master.close().await;
    result
}

/// Whether this master leads the session of its log.
enum Leading {
    No,
    /// It finds out what was acknowledged before, in this term.
    Preparing(u64),
    Yes(u64, Box<Lead>),
}

/// How far this master is with its end.
enum Ending {
    No,
    /// It takes part until it is let go: who leaves at the same time may need it for that.
    Leaving,
    Over,
}

struct Master {
    bus: Bus,
    options: MasterOptions,
    status: Option<ServiceStatus>,
    sessions: Sessions,
    election: Election,
    presence: Presence,
    masters: Masters,
    /// Counts the sessions of this process, so that what ends late is told apart.
    life: u64,
    session: Option<OpenSession>,
    /// The session whose log was damaged here.
    lost: Option<SessionId>,
    leading: Leading,
    /// When leading may be tried again after it failed.
    lead_after: Option<Instant>,
    /// A round is on its way to the disks.
    appending: bool,
    /// Nodes that the round under way removes.
    removing: Vec<NodeId>,
    changing_members: bool,
    /// When members may be changed again after that failed.
    change_after: Option<Instant>,
    asked: Asked,
    /// Wanted as soon as no round is under way.
    join_wanted: Option<(SessionId, NodeId)>,
    entry: Option<Entry>,
    leaving: Vec<Incoming<exo_types::RequestLeave, SessionReply>>,
    has_left: bool,
    ending: Ending,
    token: Option<PresenceToken<MasterPresence>>,
    /// Whether it said that it leads, and in which term, so that it is logged once.
    presented: Option<(bool, u64)>,
    pages: Pages,
    jobs: FuturesUnordered<Job>,
}

impl Master {
    fn new(bus: Bus, options: MasterOptions, sessions: Sessions, found: Found, status: Option<ServiceStatus>) -> Self {
        let election_options = Options {
            node_id: bus.node().clone(),
            seniority: options.seniority,
            listen: options.listen,
            announce_every: options.announce_every,
            settle: options.settle,
            retry: options.retry,
            take_over_after: options.take_over_after,
        };
        let own_log = own_log(found.session.as_ref(), found.lost.as_ref(), false);
        Self {
            election: Election::new(Instant::now().into_std(), election_options, own_log),
            presence: Presence::new(options.absent, options.unseen),
            masters: Masters::default(),
            life: 1,
            session: found.session,
            lost: found.lost,
            leading: Leading::No,
            lead_after: None,
            appending: false,
            removing: Vec::new(),
            changing_members: false,
            change_after: None,
            asked: Asked::default(),
            join_wanted: None,
            entry: None,
            leaving: Vec::new(),
            has_left: false,
            ending: Ending::No,
            token: None,
            presented: None,
            pages: Pages::default(),
            jobs: FuturesUnordered::new(),
            bus,
            options,
            status,
            sessions,
        }
    }

    /// Until it is told to stop, and is let go if it is to leave then.
    async fn go_round(&mut self, inputs: &mut Inputs, stop: &CancellationToken) -> Result<(), MasterError> {
        self.round(Work::default()).await?;
        loop {
            let cause = self.next(inputs, stop).await;
            let mut work = Work::default();
            if !self.on(cause, &mut work).await? {
                return Ok(());
            }
            if self.takes_work() {
                inputs.drain(&mut work);
            }
            self.round(work).await?;
        }
    }

    /// Waits for a cause.
    async fn next(&mut self, inputs: &mut Inputs, stop: &CancellationToken) -> Cause {
        let (takes_work, deadline) = (self.takes_work(), self.deadline());
        let Self { jobs, session, ending, .. } = self;
        tokio::select! {
            biased;
            () = stop.cancelled(), if matches!(ending, Ending::No) => Cause::Stop,
            Some(done) = jobs.next() => Cause::Done(done),
            () = log_changes(session) => Cause::Log,
            cause = inputs.next(takes_work) => cause,
            () = tokio::time::sleep_until(deadline) => Cause::Timeout,
        }
    }

    /// Whether commands and facts are taken: not while a round is under way, they wait for the next one.
    fn takes_work(&self) -> bool {
        !self.appending && !matches!(self.leading, Leading::Preparing(_))
    }

    /// When to go round, if nothing comes.
    fn deadline(&self) -> Instant {
        let now = Instant::now();
        let beat = self.status.as_ref().map_or(Duration::from_secs(5), ServiceStatus::beat_period);
        let leads = matches!(self.leading, Leading::Yes(..));
        let of_lead = match &self.leading {
            Leading::Yes(_, lead) if !self.appending => {
                // What is due and could not be done (a session is being given up) is looked at again after a while.
                let soonest = (now + AGAIN).into_std();
                let absent = self.presence.poll_timeout();
                let absent = absent.map(|due| if due > now.into_std() { due } else { soonest });
                [absent, lead.upkeep_due().map(|due| due.max(soonest))]
            }
            _ => [None, None],
        };
        let of_members = self.masters.poll_timeout(now.into_std()).filter(|_| leads);
        let election = self.election.poll_timeout().filter(|_| !self.has_left);
        let due = of_lead.into_iter().chain([of_members, election]).flatten().min().map(Instant::from_std);
        let change = self.change_after.filter(|_| leads);
        let lead = self.lead_after.filter(|at| *at > now);
        due.into_iter().chain(change).chain(lead).min().unwrap_or(now + beat).min(now + beat)
    }

    /// Takes a cause in. False when it is the end.
    async fn on(&mut self, cause: Cause, work: &mut Work) -> Result<bool, MasterError> {
        match cause {
            Cause::Stop => self.on_stop(),
            Cause::Timeout | Cause::Log => {}
            Cause::Command(command) => work.commands.push(*command),
            Cause::Fact(fact) => work.facts.push(*fact),
            Cause::LogWanted(incoming) => self.serve_log(incoming).await,
            Cause::StandingWanted(incoming) => {
                let counters = self.session.as_ref().map(|session| session.log.counters()).unwrap_or_default();
                let standing = crate::standing::describe(&self.bus, self.standing().as_ref(), counters);
                if let Err(error) = incoming.reply(&standing) {
                    tracing::debug!(%error, "how the log stands could not be told");
                }
            }
            Cause::Join(incoming) => self.on_join(incoming, work),
            Cause::Leave(incoming) => self.on_leave(incoming),
            Cause::LeaveCluster(incoming) => self.on_leave_cluster(incoming),
            Cause::Master(change) => self.on_master(change),
            Cause::Node(change) => self.on_node(change),
            Cause::Done(done) => self.on_done(done).await?,
            Cause::Unreadable(error) => tracing::warn!(%error, "skipped"),
        }
        Ok(!matches!(self.ending, Ending::Over))
    }

    fn on_master(&mut self, change: PresenceChange<MasterPresence>) {
        let now = Instant::now().into_std();
        match change {
            PresenceChange::Joined { node, token, payload } => {
                self.masters.on_joined(token.to_string(), node.clone(), &payload);
                self.election.on_master(now, token.to_string(), node, payload);
            }
            PresenceChange::Left { node, token } => {
                tracing::info!(%node, "a master is gone");
                self.masters.on_left(&token.to_string());
                self.election.on_master_left(now, &token.to_string());
            }
        }
    }

    fn on_node(&mut self, change: PresenceChange<NodePresence>) {
        let now = Instant::now().into_std();
        match change {
            PresenceChange::Joined { node, token, payload } => {
                let key = token.to_string();
                self.election.on_process(now, key.clone(), node.clone(), payload.roles.master, payload.session);
                if payload.roles.worker {
                    self.presence.on_joined(now, key, node);
                }
            }
            PresenceChange::Left { token, .. } => {
                self.election.on_process_left(now, &token.to_string());
                self.presence.on_left(now, &token.to_string());
            }
        }
    }

    /// Looks at the log, carries out what the election says, then the work.
    async fn round(&mut self, work: Work) -> Result<(), MasterError> {
        self.tell_status(ServiceStatus::beat);
        if self.has_left {
            refuse(work.commands, None);
            return Ok(());
        }
        self.check_log()?;
        self.follow_log();
        let now = Instant::now().into_std();
        self.election.on_log(now, self.own_log());
        while let Some(output) = self.election.poll_output() {
            self.carry_out(output).await?;
        }
        self.lead_on(work);
        self.keep_members();
        let line = self.describe();
        self.tell_status(|status| status.set_status(line));
        Ok(())
    }

    /// A log that is stopped for good has to be opened anew; a disk that is full works again some day.
    fn check_log(&self) -> Result<(), MasterError> {
        let Some(session) = &self.session else { return Ok(()) };
        let standing = session.standing.borrow();
        match &standing.fault {
            Some(fault) if standing.is_over => Err(MasterError::Damaged(fault.clone())),
            _ => Ok(()),
        }
    }

    fn standing(&self) -> Option<LogStanding> {
        self.session.as_ref().map(|session| session.standing.borrow().clone())
    }

    fn own_log(&self) -> OwnLog {
        own_log(self.session.as_ref(), self.lost.as_ref(), matches!(self.leading, Leading::Yes(..)))
    }

    /// Any master of the session answers, from what is applied here.
    async fn serve_log(&mut self, incoming: Incoming<RequestEventLog, EventLogPage>) {
        let Some(session) = &self.session else {
            return incoming.refuse("this master belongs to no session yet");
        };
        let state = session.state();
        let page = self.pages.answer(&session.log, &session.id, &state, &incoming.request).await;
        drop(state);
        match page {
            Ok(page) => {
                if let Err(error) = incoming.reply(&page) {
                    tracing::warn!(%error, "a page of the log could not be sent");
                }
            }
            Err(reason) => incoming.refuse(&reason),
        }
    }

    fn on_leave_cluster(&mut self, incoming: Incoming<exo_types::RequestLeave, SessionReply>) {
        if self.has_left || self.session.is_none() {
            return reply(incoming, &SessionReply::Done);
        }
        self.leaving.push(incoming);
        if self.leaving.len() == 1 {
            self.jobs.extend(self.leave());
        }
    }

    fn leave(&self) -> Option<Job> {
        let session = self.session.as_ref()?;
        Some(job::leave(self.bus.clone(), session.id.clone(), session.log.clone()))
    }

    /// Stopped in order: it leaves its session first, if it is to.
    fn on_stop(&mut self) {
        self.tell_status(ServiceStatus::stopping);
        let leave = self.leave().filter(|_| self.options.leave_on_stop && !self.has_left);
        self.ending = if leave.is_some() { Ending::Leaving } else { Ending::Over };
        self.jobs.extend(leave);
    }

    /// The end: what is under way is written or refused, then the log is closed.
    async fn close(mut self) {
        self.token = None;
        if let Some(Entry { log, .. }) = self.entry.take() {
            log.close().await;
        }
        self.sessions.address(None);
        if let Some(OpenSession { log, .. }) = self.session.take() {
            log.close().await;
        }
    }

    fn tell_status(&self, tell: impl FnOnce(&ServiceStatus)) {
        if let Some(status) = &self.status {
            tell(status);
        }
    }

    fn describe(&self) -> String {
        let Some(session) = &self.session else { return "looking for a session".to_owned() };
        match &self.leading {
            Leading::Yes(_, lead) => {
                let (state, generation) = (lead.state(), session.id.generation);
                format!("leads session {generation}, {} nodes, {}", state.topology.nodes.len(), serving(state))
            }
            Leading::Preparing(_) | Leading::No => {
                let standing = session.standing.borrow();
                let leader = standing.leader.as_ref().map_or("nobody", |leader| leader.as_str());
                format!("{} in session {}, led by {leader}", standing.role, session.id.generation)
            }
        }
    }
}

fn own_log(session: Option<&OpenSession>, lost: Option<&SessionId>, leads: bool) -> OwnLog {
    let Some(session) = session else { return OwnLog { lost: lost.cloned(), ..OwnLog::default() } };
    let standing = session.standing.borrow();
    let state = session.state();
    OwnLog {
        session: Some(session.id.clone()),
        lost: lost.cloned(),
        taken_in: state.lineage.histories.iter().map(|end| end.session.clone()).collect(),
        last: state.last_event_applied_idx,
        commands_seen: state.commands_seen,
        term: standing.term,
        leads,
        has_quorum: standing.role == LogRole::Leader,
        voters: standing.members.voters.iter().map(|member| member.node_id.clone()).collect(),
    }
}

/// Waits until the log stands otherwise; for ever where there is none.
async fn log_changes(session: &mut Option<OpenSession>) {
    let changed = match session {
        Some(session) => session.standing.changed().await.is_ok(),
        None => false,
    };
    if !changed {
        std::future::pending::<()>().await;
    }
}

fn reply<Q: exo_bus::Message>(incoming: Incoming<Q, SessionReply>, answer: &SessionReply) {
    if let Err(error) = incoming.reply(answer) {
        tracing::debug!(%error, "an answer to a master could not be sent");
    }
}

/// By the clock on the wall.
pub(crate) fn wall_clock() -> Millis {
    Millis(u64::try_from(exo_ambient::wall_clock().as_millis()).unwrap_or(u64::MAX))
}
