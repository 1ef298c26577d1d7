//! The simulated cluster: machines, clients, and what goes wrong with them.

use crate::client::{Books, Client, LONGEST};
use crate::fault::{Fault, MachineNo, Part};
use crate::finale::finale;
use crate::invariants::ends_by_deadline;
use crate::invariants::one_session::Final;
use crate::machine::{Around, Ended, Machine};
use crate::observer::Observer;
use crate::runners::{FakeHost, Links};
use crate::scenario::{CALM, CLIENTS_BEGIN, Scenario};
use crate::tally::Tally;
use exo_ambient::Dice;
use exo_bus::{Faults, MemoryNetwork};
use exo_config::{Config, Sources, Surroundings, load};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// A process that ended by itself is started again so much later, as a service manager does.
const RESTART: Duration = Duration::from_secs(1);

/// What the world does at a time.
enum Step {
    Fault(Fault),
    Start(MachineNo, Part),
    PowerOn(MachineNo),
    PowerOff(MachineNo, Duration),
    Clients,
}

pub(crate) struct World {
    pub(crate) scenario: Scenario,
    pub(crate) machines: Vec<Machine>,
    pub(crate) network: MemoryNetwork,
    pub(crate) observer: Observer,
    ended: mpsc::Receiver<Ended>,
    steps: BTreeMap<(Instant, u64), Step>,
    planned: u64,
    started: Instant,
    dice: Dice,
    /// Masters that were asked to leave and have not ended.
    leaving: BTreeSet<MachineNo>,
    clients: JoinSet<()>,
    clients_stop: CancellationToken,
}

impl World {
    pub(crate) fn new(scenario: Scenario, books: Books) -> Self {
        let mut dice = Dice::new(scenario.seed.rotate_left(17));
        let network = MemoryNetwork::new(dice.roll());
        let observer = Observer::new(books);
        let watching = observer.clone();
        network.on_sent(move |sent| watching.on_sent(sent));
        let (ended_sender, ended) = mpsc::channel(64);
        let around = Around {
            network: network.clone(),
            config: config(),
            observer: observer.clone(),
            take_over_after: scenario.take_over_after,
            ended: ended_sender,
        };
        let links = Links::default();
        let machine = |number| {
            let parts =
                [(Part::Master, number < scenario.masters), (Part::Worker, true), (Part::Api, number < scenario.apis)];
            let parts = parts.into_iter().filter(|(_, has)| *has).map(|(part, _)| part).collect();
            let host = FakeHost::new(format!("n{number}"), links.clone(), dice.split());
            Machine::new(number, parts, dice.roll(), host, around.clone())
        };
        let machines = (0..scenario.machines).map(machine).collect();
        Self {
            machines,
            network,
            observer,
            ended,
            steps: BTreeMap::new(),
            planned: 0,
            started: Instant::now(),
            dice,
            leaving: BTreeSet::new(),
            clients: JoinSet::new(),
            clients_stop: CancellationToken::new(),
            scenario,
        }
    }

    /// The whole course: calm, storm, calm again. What came up is counted.
    pub(crate) async fn run(mut self) -> Tally {
        let (before, later): (Vec<_>, Vec<_>) =
            self.scenario.faults.clone().into_iter().partition(|planned| planned.at.is_zero());
        for planned in before {
            self.take(Step::Fault(planned.fault)).await;
        }
        let late = self.scenario.late;
        for (number, machine) in self.machines.iter_mut().enumerate() {
            if late.is_none_or(|(late, _)| late != number) {
                machine.start_all().await;
            }
        }
        if let Some((machine, at)) = late {
            self.plan(at, Step::PowerOn(machine));
            self.observer.count(|tally| tally.late_joins += 1);
        }
        self.network.set_faults(fair_weather());
        self.plan(CLIENTS_BEGIN, Step::Clients);
        for planned in later {
            self.plan(planned.at, Step::Fault(planned.fault));
        }
        let storm_ends = self.started + self.scenario.storm_ends;
        self.go_on(storm_ends).await;
        self.clear_up().await;
        finale(&mut self).await;
        self.observer.tally()
    }

    fn plan(&mut self, at: Duration, step: Step) {
        self.planned += 1;
        self.steps.insert((self.started + at, self.planned), step);
    }

    fn plan_in(&mut self, wait: Duration, step: Step) {
        self.plan(self.started.elapsed() + wait, step);
    }

    /// Does what is planned until then.
    pub(crate) async fn go_on(&mut self, until: Instant) {
        loop {
            let due = self.steps.first_key_value().map_or(until, |((due, _), _)| (*due).min(until));
            tokio::select! {
                biased;
                Some(ended) = self.ended.recv() => self.on_ended(&ended),
                () = sleep_until(due) => {
                    if due >= until {
                        return;
                    }
                    if let Some((_, step)) = self.steps.pop_first() {
                        self.take(step).await;
                    }
                }
            }
        }
    }

    fn on_ended(&mut self, ended: &Ended) {
        let machine = &mut self.machines[ended.machine];
        if machine.on_ended(ended) {
            let name = machine.name(ended.part);
            if self.leaving.remove(&ended.machine) {
                self.observer.count(|tally| tally.leaves += 1);
            }
            self.observer.books.trace.say(format_args!("{name} ended by itself: {}", ended.last_word));
            self.plan_in(RESTART, Step::Start(ended.machine, ended.part));
        }
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Fault(fault) => {
                self.observer.books.trace.say(format_args!("FAULT {fault}"));
                self.strike(fault);
            }
            Step::Start(machine, part) => self.machines[machine].start(part).await,
            Step::PowerOn(machine) => self.machines[machine].start_all().await,
            Step::PowerOff(machine, down) => self.power_cut(machine, down),
            Step::Clients => self.start_clients(),
        }
    }

    fn strike(&mut self, fault: Fault) {
        match fault {
            Fault::Weather { loss, duplication, delay, reorder } => {
                let delay = Duration::from_millis(1)..=delay;
                self.network.set_faults(Faults { delay, loss, duplication, reorder });
            }
            Fault::Cut(from, to) => self.network.cut(&self.machines[from].node_id, &self.machines[to].node_id),
            Fault::Isolate(machine) => self.isolate(machine),
            Fault::Apart(first) => self.part(first),
            Fault::Heal => self.network.heal_all(),
            Fault::Kill(machine, part, down) => {
                self.machines[machine].kill(part);
                self.leaving.remove(&machine);
                self.plan_in(down, Step::Start(machine, part));
            }
            Fault::Leave(machine) => {
                if self.machines[machine].leave() {
                    self.leaving.insert(machine);
                }
            }
            Fault::PowerCut(machine, down) => self.power_cut(machine, down),
            Fault::PowerCutWithin(machine, calls, down) => {
                self.machines[machine].disk.power_cut_after(calls);
                self.plan_in(Duration::from_millis(500), Step::PowerOff(machine, down));
            }
            Fault::Blackout(down) => (0..self.machines.len()).for_each(|machine| self.power_cut(machine, down)),
            // Nobody can tell a bit that flips in what a power cut has torn from the tear: one of them on a machine at a time.
            Fault::FlipBit(machine, _) if self.machines[machine].is_off() => {}
            Fault::FlipBit(machine, down) => {
                self.machines[machine].power_off();
                self.machines[machine].disk.switch_off_and_flip_bit();
                self.plan_in(down, Step::PowerOn(machine));
            }
            Fault::DiskFull(machine, is_full) => self.machines[machine].disk.set_full(is_full),
            Fault::ClockJump(machine, millis) => self.machines[machine].skew.jump(millis),
            Fault::KillRunners(machine) => self.machines[machine].host.kill_all(),
            Fault::HangRunners(machine) => self.machines[machine].host.hang_all(),
        }
    }

    /// Everybody who asked something before the end of the storm knows by now what came of it.
    pub(crate) async fn clients_ended(&mut self) {
        let all = async { while self.clients.join_next().await.is_some() {} };
        let ended = tokio::time::timeout(LONGEST + Duration::from_secs(1), all).await;
        let holds = ended.map_err(|_| "a request of the storm is open still".to_owned());
        self.observer.books.findings.check(ends_by_deadline::NAME, holds);
    }

    fn power_cut(&mut self, machine: MachineNo, down: Duration) {
        self.machines[machine].power_off();
        self.leaving.remove(&machine);
        self.machines[machine].disk.power_cut();
        self.plan_in(down, Step::PowerOn(machine));
    }

    fn isolate(&self, machine: MachineNo) {
        for (number, other) in self.machines.iter().enumerate() {
            if number != machine {
                self.network.partition(&self.machines[machine].node_id, &other.node_id);
            }
        }
    }

    fn part(&self, first: usize) {
        for one in &self.machines[..first] {
            for other in &self.machines[first..] {
                self.network.partition(&one.node_id, &other.node_id);
            }
        }
    }

    /// What everybody has who is there.
    pub(crate) fn finals(&self) -> Vec<Final> {
        let masters = self.machines.iter().filter_map(Machine::final_master);
        masters.chain(self.observer.followers()).collect()
    }

    /// The end of it all: accounts are settled, and what came up is counted.
    pub(crate) fn settle(&self) {
        let finals = self.finals();
        for machine in &self.machines {
            let quarantined = machine.disk.quarantined();
            let session = finals.first().and_then(|one| one.session.as_ref());
            let votes = session.is_some_and(|session| self.observer.votes(session, &machine.node_id));
            self.observer.count(|tally| {
                tally.quarantines += quarantined;
                tally.heals += u64::from(quarantined > 0 && votes);
            });
        }
        self.observer.settle(finals, self.scenario.may_be_apart());
    }

    fn start_clients(&mut self) {
        for machine in self.machines.iter().filter(|machine| machine.has(Part::Api)) {
            let client = Client {
                name: format!("client of {}", machine.node_id),
                door: machine.door.clone(),
                books: self.observer.books.clone(),
                dice: self.dice.split(),
            };
            self.clients.spawn(client.run(self.clients_stop.clone()));
        }
    }

    /// The storm is over: everything that is broken is mended, everything that is down is started.
    async fn clear_up(&mut self) {
        self.observer.books.trace.say("the faults stop");
        self.clients_stop.cancel();
        self.steps.clear();
        self.network.heal_all();
        self.network.set_faults(fair_weather());
        for machine in &mut self.machines {
            machine.disk.calm();
            machine.start_all().await;
        }
    }
}

/// What a good network does.
fn fair_weather() -> Faults {
    Faults { delay: Duration::from_millis(1)..=Duration::from_millis(3), ..Faults::default() }
}

fn config() -> Arc<Config> {
    let surroundings = Surroundings { host_name: "sim".to_owned(), data_dir: "/nowhere".to_owned() };
    let sources = Sources { surroundings, file: None, environment: Vec::new(), flags: Vec::new() };
    Arc::new(load(&sources).expect("the defaults are a good configuration").config)
}

/// The calm before the storm lets clients begin.
const _: () = assert!(CLIENTS_BEGIN.as_millis() < CALM.as_millis());
