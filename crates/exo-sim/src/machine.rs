//! One simulated machine, and the processes on it.

use crate::client::{Door, Gate};
use crate::fault::{MachineNo, Part};
use crate::invariants::one_session::Final;
use crate::masters::{MasterDisk, run_master};
use crate::observer::Observer;
use crate::runners::FakeHost;
use crate::workload;
use exo_ambient::Skew;
use exo_api::{ApiContext, DirectApi};
use exo_bus::{Bus, MemoryNetwork, ProcessId};
use exo_config::Config;
use exo_node::{Identity, Node, NodeHandle, Role};
use exo_telemetry::Notifier;
use exo_types::NodeId;
use exo_worker::Machine as WorkerMachine;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A process that ended by itself.
pub(crate) struct Ended {
    pub(crate) machine: MachineNo,
    pub(crate) part: Part,
    pub(crate) process: ProcessId,
    pub(crate) last_word: String,
}

/// What all machines share.
#[derive(Clone)]
pub(crate) struct Around {
    pub(crate) network: MemoryNetwork,
    pub(crate) config: Arc<Config>,
    pub(crate) observer: Observer,
    pub(crate) take_over_after: Option<Duration>,
    pub(crate) ended: mpsc::Sender<Ended>,
}

/// A process that runs.
struct Process {
    bus: Bus,
    /// Asks it to end in order.
    stop: CancellationToken,
    /// Everything that it is; dropped with it.
    _tasks: JoinSet<()>,
}

pub(crate) struct Machine {
    number: MachineNo,
    pub(crate) node_id: NodeId,
    parts: Vec<Part>,
    pub(crate) disk: MasterDisk,
    pub(crate) skew: Skew,
    pub(crate) host: FakeHost,
    /// Where clients find its api.
    pub(crate) door: Door,
    around: Around,
    processes: BTreeMap<Part, Process>,
}

impl Machine {
    pub(crate) fn new(number: MachineNo, parts: Vec<Part>, disks: u64, host: FakeHost, around: Around) -> Self {
        let node_id = NodeId::new(format!("n{number}")).expect("a letter and digits are an id");
        let disk = MasterDisk::new(disks, node_id.clone(), around.observer.clone());
        let (skew, door, processes) = (Skew::default(), Door::default(), BTreeMap::new());
        Self { number, node_id, parts, disk, skew, host, door, around, processes }
    }

    pub(crate) fn has(&self, part: Part) -> bool {
        self.parts.contains(&part)
    }

    /// Starts what does not run.
    pub(crate) async fn start_all(&mut self) {
        for part in self.parts.clone() {
            self.start(part).await;
        }
    }

    /// Starts a process if the machine has it and it does not run.
    pub(crate) async fn start(&mut self, part: Part) {
        if !self.has(part) || self.processes.contains_key(&part) {
            return;
        }
        let joined = self.around.network.join(self.node_id.clone()).await;
        let bus = joined.expect("a new process can join a network in memory");
        self.around.observer.books.trace.say(format_args!("{} starts", self.name(part)));
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        match part {
            Part::Master => self.start_master(&bus, &mut tasks, stop.clone()),
            Part::Worker => self.start_worker(&bus, &mut tasks, stop.clone()).await,
            Part::Api => self.start_api(&bus, &mut tasks).await,
        }
        self.processes.insert(part, Process { bus, stop, _tasks: tasks });
    }

    fn start_master(&self, bus: &Bus, tasks: &mut JoinSet<()>, stop: CancellationToken) {
        let living = run_master(bus.clone(), self.disk.clone(), self.around.take_over_after, stop);
        self.run(Part::Master, bus, tasks, living);
    }

    async fn start_worker(&self, bus: &Bus, tasks: &mut JoinSet<()>, stop: CancellationToken) {
        let node = self.node(Part::Worker, bus, tasks).await;
        let machine = WorkerMachine {
            settings: workload::settings(),
            info: workload::node_info(self.node_id.as_str()),
            resources: workload::resources(),
            host: Arc::new(self.host.clone()),
        };
        let status = Notifier::from_environment().service("worker");
        let working = exo_worker::run_over(bus.clone(), node, machine, workload::models(), status, stop);
        let living = async move {
            match working.await {
                Ok(()) => "it ended".to_owned(),
                Err(error) => error.to_string(),
            }
        };
        self.run(Part::Worker, bus, tasks, living);
    }

    async fn start_api(&self, bus: &Bus, tasks: &mut JoinSet<()>) {
        let node = self.node(Part::Api, bus, tasks).await;
        let status = Notifier::from_environment().service("api");
        let (config, bus) = (self.around.config.clone(), bus.clone());
        let api = DirectApi::new(ApiContext { config, bus, node: node.clone(), status });
        node.announce().await.expect("a small presence can be announced");
        self.door.open(Gate { api, node, skew: self.skew.clone(), gone: CancellationToken::new() });
    }

    async fn node(&self, part: Part, bus: &Bus, tasks: &mut JoinSet<()>) -> NodeHandle {
        let role = if part == Part::Worker { Role::Worker } else { Role::Api };
        let identity = Identity { node_id: self.node_id.clone(), role };
        let node = Node::join(bus, identity).await.expect("a new process can join a network in memory");
        let observer = &self.around.observer;
        observer.on_view(bus.process(), self.name(part), node.view());
        tasks.spawn(observer.clone().follow(self.name(part), node.view()));
        node
    }

    /// Runs what a process is, on its machine's clock, and tells when it ends by itself.
    fn run(
        &self,
        part: Part,
        bus: &Bus,
        tasks: &mut JoinSet<()>,
        living: impl Future<Output = String> + Send + 'static,
    ) {
        let (machine, process, ended) = (self.number, bus.process(), self.around.ended.clone());
        tasks.spawn(self.skew.applied(async move {
            let last_word = living.await;
            // The world takes this up as long as it goes round.
            let _over = ended.send(Ended { machine, part, process, last_word }).await;
        }));
    }

    /// Asks the master to leave its session and to end; false if there is none.
    pub(crate) fn leave(&self) -> bool {
        let master = self.processes.get(&Part::Master);
        master.inspect(|master| master.stop.cancel()).is_some()
    }

    /// What its master has, if that runs.
    pub(crate) fn final_master(&self) -> Option<Final> {
        self.processes.get(&Part::Master)?;
        let in_use = self.disk.in_use();
        let (session, state) = in_use.map_or((None, Arc::default()), |(session, state)| (Some(session), state));
        Some(Final { who: self.name(Part::Master), session, state })
    }

    /// Ends a process as `kill -9` does: everybody sees it at once.
    pub(crate) fn kill(&mut self, part: Part) {
        self.end(part, MemoryNetwork::kill);
    }

    /// The machine loses its power: nobody sees anything, for a while.
    pub(crate) fn power_off(&mut self) {
        for part in self.parts.clone() {
            self.end(part, MemoryNetwork::vanish);
        }
    }

    /// Whether it has no power: somebody is there otherwise.
    pub(crate) fn is_off(&self) -> bool {
        self.processes.is_empty()
    }

    fn end(&mut self, part: Part, end: impl Fn(&MemoryNetwork, ProcessId)) {
        let Some(process) = self.processes.remove(&part) else { return };
        end(&self.around.network, process.bus.process());
        self.around.observer.on_gone(process.bus.process());
        match part {
            Part::Master => self.disk.detach(),
            Part::Worker => self.host.kill_all(),
            Part::Api => self.door.close(),
        }
    }

    /// Forgets a process that ended by itself; false if that is another one by now.
    pub(crate) fn on_ended(&mut self, ended: &Ended) -> bool {
        let is_it = self.processes.get(&ended.part).is_some_and(|process| process.bus.process() == ended.process);
        if is_it {
            self.kill(ended.part);
        }
        is_it
    }

    pub(crate) fn name(&self, part: Part) -> String {
        format!("{} of {}", part.name(), self.node_id)
    }
}
