//! The loop of the master.

use crate::cause::{Cause, Inputs};
use crate::leader::{CommandRequest, Leader, Work};
use crate::options::MasterOptions;
use crate::presence::Presence;
use exo_bus::{AnnounceError, Bus, BusError, PresenceChange, PresenceToken, topics};
use exo_config::Config;
use exo_election::{Election, Options, Output, OwnLog, Standing};
use exo_log::single::{AppendError, EventLog, OpenError, Recovered, RedbStorage};
use exo_node::{DataDir, NodeHandle};
use exo_telemetry::ServiceStatus;
use exo_types::{Candidate, CommandReply, ElectionMessage, MasterPresence, Millis, NodePresence, Refusal, SessionId};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Between two claims of a leader.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(1);

/// What a master needs.
pub struct MasterContext {
    /// The configuration.
    pub config: Arc<Config>,
    /// The node's directory; the log is in `master/` there.
    pub data_dir: Arc<DataDir>,
    /// The bus.
    pub bus: Bus,
    /// This process's place in the cluster.
    pub node: NodeHandle,
    /// What the service manager is told.
    pub status: ServiceStatus,
}

/// Why a master ended.
#[derive(Debug, thiserror::Error)]
pub enum MasterError {
    /// Its log cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The directory of the log cannot be made.
    #[error("the directory {path} for the log cannot be made: {error}; check owner and free space")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The system's reason.
        error: std::io::Error,
    },
    /// The log does not take events, for a reason that does not pass.
    #[error(transparent)]
    Log(#[from] AppendError),
    /// The disk hangs. Whether the last events are on it is unknown: the next start finds out.
    #[error("the disk did not take the log's events within {0:?}; check the disk, then start exo-master again")]
    DiskStuck(Duration),
    /// The log of a session that lost cannot be put away.
    #[error("the log in {directory} cannot be put into the archive: {error}")]
    Archive {
        /// Where it is.
        directory: PathBuf,
        /// The system's reason.
        error: std::io::Error,
    },
    /// The bus.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The claim to lead cannot be told.
    #[error(transparent)]
    Announce(#[from] AnnounceError),
}

/// An open log, and where to put it when its session loses.
pub struct LogSource {
    /// The log.
    pub log: EventLog,
    /// What was in it.
    pub recovered: Recovered,
    /// The directory that it is in; none for one that leaves nothing behind.
    pub directory: Option<PathBuf>,
}

impl LogSource {
    /// Opens the log in a directory, which is made if it is missing. Blocks while it reads.
    pub fn open(directory: &Path) -> Result<Self, MasterError> {
        std::fs::create_dir_all(directory)
            .map_err(|error| MasterError::Directory { path: directory.to_owned(), error })?;
        let (log, recovered) = EventLog::open(directory)?;
        Ok(Self { log, recovered, directory: Some(directory.to_owned()) })
    }
}

/// Runs a master until `shutdown`. What was accepted is on the disk then; nothing else is lost.
pub async fn run(context: MasterContext, shutdown: CancellationToken) -> Result<(), MasterError> {
    let directory = context.data_dir.path().join("master");
    let opened = tokio::task::spawn_blocking(move || LogSource::open(&directory)).await;
    let source = opened.expect("opening a log does not panic, and is not aborted")?;
    let options = MasterOptions::from(context.config.as_ref());
    run_over(context.bus, options, source, Some(context.status), shutdown).await
}

/// The same over any log, and without a service manager if there is none to be told.
pub async fn run_over(
    bus: Bus,
    options: MasterOptions,
    source: LogSource,
    status: Option<ServiceStatus>,
    shutdown: CancellationToken,
) -> Result<(), MasterError> {
    let mut inputs = Inputs::open(&bus).await?;
    let mut master = Master::new(bus, options, source, status);
    master.tell_status(|status| status.ready());
    loop {
        let cause = inputs.next(master.deadline(), &shutdown).await;
        let mut work = Work::default();
        if !master.on(cause, &mut work).await {
            master.tell_status(ServiceStatus::stopping);
            return Ok(());
        }
        inputs.drain(&mut work);
        master.round(work).await?;
    }
}

/// What is led, or could be.
enum Own {
    /// Read, not led yet.
    Waiting(Box<LogSource>),
    Leading(Box<Leader>, PresenceToken<MasterPresence>),
    /// Another one leads; the own log is in the archive.
    StandingBy,
}

struct Master {
    bus: Bus,
    options: MasterOptions,
    status: Option<ServiceStatus>,
    election: Election,
    presence: Presence,
    own: Own,
    directory: Option<PathBuf>,
}

impl Master {
    fn new(bus: Bus, options: MasterOptions, source: LogSource, status: Option<ServiceStatus>) -> Self {
        let state = &source.recovered.state;
        tracing::info!(
            last_index = %state.last_event_applied_idx,
            replayed = source.recovered.replayed,
            instances = state.instances.len(),
            "the log is read"
        );
        let own_log = OwnLog {
            session: state.session.clone(),
            last: state.last_event_applied_idx,
            commands_seen: state.commands_seen,
        };
        let election_options = Options {
            node_id: bus.node().clone(),
            seniority: options.seniority,
            listen: options.listen,
            announce_every: ANNOUNCE_EVERY,
        };
        Self {
            election: Election::new(Instant::now().into_std(), election_options, own_log),
            presence: Presence::new(options.node_grace),
            directory: source.directory.clone(),
            own: Own::Waiting(Box::new(source)),
            bus,
            options,
            status,
        }
    }

    /// When to go round, if nothing comes.
    fn deadline(&self) -> Instant {
        let beat = self.status.as_ref().map_or(Duration::from_secs(5), ServiceStatus::beat_period);
        let due = [self.election.poll_timeout(), self.presence.poll_timeout()];
        let due = due.into_iter().flatten().min().map(Instant::from_std);
        let latest = Instant::now() + beat;
        due.map_or(latest, |due| due.min(latest))
    }

    /// Takes a cause in. False when it is the end.
    async fn on(&mut self, cause: Cause, work: &mut Work) -> bool {
        let now = Instant::now().into_std();
        match cause {
            Cause::Stop => return false,
            Cause::Timeout => {}
            Cause::Command(command) => work.commands.push(*command),
            Cause::Fact(fact) => work.facts.push(*fact),
            Cause::LogWanted(incoming) => self.serve_log(incoming).await,
            Cause::Claim(claim) => self.election.on_announcement(now, &claim),
            Cause::Master(PresenceChange::Joined { payload: MasterPresence { candidate, .. }, .. }) => {
                // Its index comes with its messages; whose session is larger does not depend on it.
                let last_index = exo_types::EventIndex(0);
                self.election.on_announcement(now, &ElectionMessage { candidate, last_index });
            }
            Cause::Master(PresenceChange::Left { node, .. }) => {
                tracing::info!(node = %node, "a master is gone");
            }
            Cause::Node(change) => self.on_node(change),
            Cause::Unreadable(error) => tracing::warn!(%error, "skipped"),
        }
        true
    }

    fn on_node(&mut self, change: PresenceChange<NodePresence>) {
        match change {
            PresenceChange::Joined { node, token, payload } => {
                self.election.on_followed(token.to_string(), payload.session);
                if payload.roles.worker {
                    self.presence.on_joined(token.to_string(), node);
                }
            }
            PresenceChange::Left { token, .. } => {
                self.election.on_follower_left(&token.to_string());
                self.presence.on_left(Instant::now().into_std(), &token.to_string());
            }
        }
    }

    /// Carries out what the election says, then the work.
    async fn round(&mut self, work: Work) -> Result<(), MasterError> {
        self.election.handle_timeout(Instant::now().into_std());
        while let Some(output) = self.election.poll_output() {
            self.carry_out(output).await?;
        }
        self.tell_status(ServiceStatus::beat);
        let now = Instant::now().into_std();
        let Own::Leading(leader, _) = &mut self.own else {
            self.refuse(work.commands);
            return Ok(());
        };
        let lost = self.presence.lost(now).cloned().collect();
        leader.work(&self.bus, &self.options, Work { lost, ..work }).await?;
        self.presence.expect(now, &leader.state().topology.nodes);
        self.election.on_progress(leader.state().last_event_applied_idx, leader.state().commands_seen);
        let line = describe(leader);
        self.tell_status(|status| status.set_status(line));
        Ok(())
    }

    async fn carry_out(&mut self, output: Output) -> Result<(), MasterError> {
        match output {
            Output::Resume(session) => self.lead(session, false).await,
            Output::Open(session) => self.lead(session, true).await,
            Output::StepDown { winner } | Output::Archive { winner } => self.step_down(&winner),
            Output::Follow(candidate) => {
                tracing::info!(session = %candidate.session, "another master leads; standing by");
                self.own = Own::StandingBy;
                let line = format!("standing by, session {}", candidate.session);
                self.tell_status(|status| status.set_status(line));
                Ok(())
            }
            Output::Announce(message) => self.announce(message).await,
            Output::WaitFor(session) => {
                tracing::warn!(
                    session = %session,
                    "other nodes follow a master that is away; waiting for it. \
                     If it is lost for good, restart exo on those nodes"
                );
                Ok(())
            }
        }
    }

    async fn lead(&mut self, session: SessionId, is_new: bool) -> Result<(), MasterError> {
        let Own::Waiting(source) = std::mem::replace(&mut self.own, Own::StandingBy) else { return Ok(()) };
        let LogSource { log, recovered, .. } = *source;
        let mut leader = Box::new(Leader::new(session, log, recovered.state));
        if is_new {
            leader.open_session(&self.bus, wall_clock()).await?;
        }
        tracing::info!(session = %leader.session(), "this master leads");
        self.election.on_progress(leader.state().last_event_applied_idx, leader.state().commands_seen);
        self.presence.expect(Instant::now().into_std(), &leader.state().topology.nodes);
        let Standing::Leading(candidate) = self.election.standing().clone() else { return Ok(()) };
        let token = self.bus.announce(topics::MASTER, &MasterPresence::leading(candidate)).await?;
        self.own = Own::Leading(leader, token);
        Ok(())
    }

    /// Stops leading, closes the log and puts it away.
    fn step_down(&mut self, winner: &Candidate) -> Result<(), MasterError> {
        let session = match std::mem::replace(&mut self.own, Own::StandingBy) {
            Own::Leading(leader, _) => Some(leader.session().clone()),
            Own::Waiting(source) => source.recovered.state.session,
            Own::StandingBy => None,
        };
        let Some(session) = session else { return Ok(()) };
        tracing::warn!(session = %session, winner = %winner.session, "a larger session stays; this one is put away");
        let Some(directory) = &self.directory else { return Ok(()) };
        let label = format!("{}-{}", session.generation, session.master_node_id).replace('/', "-");
        let archived = RedbStorage::archive(directory, &label);
        let path = archived.map_err(|error| MasterError::Archive { directory: directory.clone(), error })?;
        tracing::info!(path = %path.display(), "the log is in the archive");
        Ok(())
    }

    async fn announce(&mut self, message: ElectionMessage) -> Result<(), MasterError> {
        let Own::Leading(_, token) = &mut self.own else { return Ok(()) };
        if let Err(error) = self.bus.publish(topics::ELECTION_MESSAGES, &message).await {
            tracing::warn!(%error, "the claim to lead was not told; the next one follows");
        }
        // Who comes later reads it from the presence.
        let told = token.update(&MasterPresence::leading(message.candidate)).await;
        Ok(told?)
    }

    async fn serve_log(&mut self, incoming: exo_bus::Incoming<exo_types::RequestEventLog, exo_types::EventLogPage>) {
        let page = match &mut self.own {
            Own::Leading(leader, _) => leader.page(&incoming.request).await,
            Own::Waiting(_) | Own::StandingBy => Err("this master does not lead".to_owned()),
        };
        match page {
            Ok(page) => {
                if let Err(error) = incoming.reply(&page) {
                    tracing::warn!(%error, "a page of the log could not be sent");
                }
            }
            Err(reason) => incoming.refuse(&reason),
        }
    }

    fn refuse(&self, commands: Vec<CommandRequest>) {
        let leader = match self.election.standing() {
            Standing::Following(candidate) => Some(candidate.session.master_node_id.clone()),
            Standing::Listening | Standing::Leading(_) => None,
        };
        for incoming in commands {
            let refusal = Refusal::not_leader(leader.clone());
            if let Err(error) = incoming.reply(&CommandReply::Refused(refusal)) {
                tracing::warn!(%error, "an answer could not be sent");
            }
        }
    }

    fn tell_status(&self, tell: impl FnOnce(&ServiceStatus)) {
        if let Some(status) = &self.status {
            tell(status);
        }
    }
}

fn describe(leader: &Leader) -> String {
    let state = leader.state();
    let ready = state.instances.values().filter(|instance| state.is_ready(instance)).count();
    format!(
        "leading session {}: {} nodes, {ready} of {} instances ready",
        leader.session(),
        state.topology.nodes.len(),
        state.instances.len()
    )
}

pub(crate) fn wall_clock() -> Millis {
    Millis(u64::try_from(exo_ambient::wall_clock().as_millis()).unwrap_or(u64::MAX))
}
