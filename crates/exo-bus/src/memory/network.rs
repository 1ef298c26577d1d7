//! The wires: who is there, what each declared, and what is on its way.

use super::queue::{Job, Queue};
use super::{Faults, Sent};
use crate::names::ProcessId;
use crate::transport::{Answer, CallError, Deliver, Reply, Sighting, Witness};
use bytes::Bytes;
use exo_ambient::Dice;
use exo_types::NodeId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How long a peer is believed in that is not heard: as long as the real adapter needs at most to notice that the leader's
/// machine is lost, or the leader that another one is.
const LEASE: Duration = Duration::from_secs(2);

/// What a process declared; taken back by number.
#[derive(Clone)]
pub(super) enum Declared {
    Subscriber(Deliver),
    Answerer(Answer),
    Token,
    Watch(Witness),
}

struct Declaration {
    process: ProcessId,
    key: String,
    what: Declared,
    /// Of a watch: the keys that it believes in.
    seen: BTreeMap<String, ProcessId>,
}

struct Call {
    caller: ProcessId,
    asked: ProcessId,
    answer: oneshot::Sender<Result<Bytes, CallError>>,
}

/// Sees what sets out.
pub(super) type Watcher = Box<dyn Fn(&Sent<'_>) + Send>;

struct Wires {
    dice: Dice,
    watcher: Option<Watcher>,
    faults: Faults,
    processes: BTreeMap<ProcessId, NodeId>,
    declarations: BTreeMap<u64, Declaration>,
    calls: BTreeMap<u64, Call>,
    /// Processes whose machine is gone and whose presences are still believed in.
    vanished: BTreeSet<ProcessId>,
    /// Since when the second node does not hear the first.
    cuts: BTreeMap<(NodeId, NodeId), Instant>,
    queue: Queue,
    last: u64,
}

pub(super) struct Network {
    wires: Mutex<Wires>,
    changed: Arc<Notify>,
    /// Owns the task that delivers.
    delivery: Mutex<JoinSet<()>>,
}

impl Network {
    pub fn new(seed: u64) -> Self {
        let wires = Wires {
            dice: Dice::new(seed),
            watcher: None,
            faults: Faults::default(),
            processes: BTreeMap::new(),
            declarations: BTreeMap::new(),
            calls: BTreeMap::new(),
            vanished: BTreeSet::new(),
            cuts: BTreeMap::new(),
            queue: Queue::default(),
            last: 0,
        };
        Self { wires: Mutex::new(wires), changed: Arc::default(), delivery: Mutex::default() }
    }

    pub fn start_delivery(self: &Arc<Self>) {
        let mut delivery = self.delivery.lock().expect("no code panics while it holds this lock");
        if delivery.is_empty() {
            delivery.spawn(deliver(Arc::downgrade(self), self.changed.clone()));
        }
    }

    pub fn add_process(&self, node: NodeId) -> ProcessId {
        let mut wires = self.lock();
        let process = ProcessId(wires.number());
        wires.processes.insert(process, node);
        process
    }

    /// Forgets all that it declared and asked, and tells the others.
    pub fn remove_process(self: &Arc<Self>, process: ProcessId) {
        let mut wires = self.lock();
        wires.processes.remove(&process);
        if wires.vanished.contains(&process) {
            return;
        }
        let dead = wires.take_declarations(|declaration| declaration.process == process);
        let calls = wires.take_calls(|call| call.caller == process || call.asked == process);
        self.refresh(&mut wires);
        drop(wires);
        // Their destructors may call back.
        drop(dead);
        calls.into_iter().for_each(|call| drop(call.answer.send(Err(CallError::Nobody))));
    }

    /// Forgets it at once, and that it was there when the lease has passed; what it is asked meanwhile is not answered.
    pub fn vanish(self: &Arc<Self>, process: ProcessId) {
        let mut wires = self.lock();
        if wires.processes.remove(&process).is_none() {
            return;
        }
        wires.vanished.insert(process);
        let dead = wires.take_declarations(|declaration| {
            declaration.process == process && !matches!(declaration.what, Declared::Token | Declared::Answerer(_))
        });
        let asked = wires.take_calls(|call| call.caller == process);
        let network = Arc::downgrade(self);
        let forget = move || {
            if let Some(network) = network.upgrade() {
                network.lock().vanished.remove(&process);
                network.remove_process(process);
            }
        };
        wires.queue.at(Instant::now() + LEASE, Box::new(forget));
        drop(wires);
        self.changed.notify_one();
        // Their destructors may call back.
        drop((dead, asked));
    }

    pub fn set_watcher(&self, watcher: Watcher) {
        self.lock().watcher = Some(watcher);
    }

    pub fn is_there(&self, process: ProcessId) -> bool {
        self.lock().processes.contains_key(&process)
    }

    pub fn set_faults(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    pub fn partition(self: &Arc<Self>, a: &NodeId, b: &NodeId) {
        self.cut(a, b);
        self.cut(b, a);
    }

    pub fn cut(self: &Arc<Self>, from: &NodeId, to: &NodeId) {
        let mut wires = self.lock();
        wires.cuts.entry((from.clone(), to.clone())).or_insert_with(Instant::now);
        let network = Arc::downgrade(self);
        let refresh = move || {
            if let Some(network) = network.upgrade() {
                network.refresh(&mut network.lock());
            }
        };
        wires.queue.at(Instant::now() + LEASE, Box::new(refresh));
        self.changed.notify_one();
    }

    pub fn heal(self: &Arc<Self>, a: &NodeId, b: &NodeId) {
        let mut wires = self.lock();
        wires.cuts.remove(&(a.clone(), b.clone()));
        wires.cuts.remove(&(b.clone(), a.clone()));
        self.refresh(&mut wires);
    }

    pub fn heal_all(self: &Arc<Self>) {
        let mut wires = self.lock();
        wires.cuts.clear();
        self.refresh(&mut wires);
    }

    /// Declares; the number takes it back.
    pub fn declare(self: &Arc<Self>, process: ProcessId, key: &str, what: Declared) -> u64 {
        let mut wires = self.lock();
        let number = wires.number();
        let declaration = Declaration { process, key: key.to_owned(), what, seen: BTreeMap::new() };
        wires.declarations.insert(number, declaration);
        self.refresh(&mut wires);
        number
    }

    pub fn undeclare(self: &Arc<Self>, number: u64) {
        let mut wires = self.lock();
        let declaration = wires.declarations.remove(&number);
        self.refresh(&mut wires);
        drop(wires);
        drop(declaration);
    }

    /// Sends to all subscribers of the key.
    pub fn put(self: &Arc<Self>, from: ProcessId, key: &str, bytes: &Bytes) {
        let mut wires = self.lock();
        let mut receivers = Vec::new();
        for (number, declaration) in &wires.declarations {
            if declaration.key == key && matches!(declaration.what, Declared::Subscriber(_)) {
                receivers.push((*number, declaration.process));
            }
        }
        for (number, to) in receivers {
            for _ in 0..wires.set_out(from, to, key, bytes) {
                let (network, bytes) = (Arc::downgrade(self), bytes.clone());
                let job = move || {
                    let found = network.upgrade().and_then(|network| network.find(number));
                    if let Some(Declared::Subscriber(deliver)) = found {
                        deliver(bytes);
                    }
                };
                wires.send(from, to, Box::new(job));
            }
        }
        self.changed.notify_one();
    }

    /// Asks one of those who answer the key.
    pub fn call(
        self: &Arc<Self>,
        from: ProcessId,
        key: &str,
        bytes: Bytes,
    ) -> oneshot::Receiver<Result<Bytes, CallError>> {
        let (answer, answered) = oneshot::channel();
        let mut wires = self.lock();
        let answerer = wires.declarations.iter().find(|(_, declaration)| {
            let answers = matches!(declaration.what, Declared::Answerer(_));
            answers && declaration.key == key && !wires.is_cut(from, declaration.process)
        });
        let Some((number, asked)) = answerer.map(|(number, declaration)| (*number, declaration.process)) else {
            let _gone = answer.send(Err(CallError::Nobody));
            return answered;
        };
        let call = wires.number();
        wires.calls.insert(call, Call { caller: from, asked, answer });
        let network = Arc::downgrade(self);
        if wires.set_out(from, asked, key, &bytes) > 0 && !wires.vanished.contains(&asked) {
            wires.send(from, asked, Box::new(move || ask(&network, number, call, bytes)));
        }
        self.changed.notify_one();
        answered
    }

    /// An answer sets out, or is known never to come.
    fn answer(self: &Arc<Self>, call: u64, answer: Result<Bytes, CallError>) {
        let mut wires = self.lock();
        let Some(Call { caller, asked, .. }) = wires.calls.get(&call) else { return };
        let (caller, asked) = (*caller, *asked);
        let bytes: &[u8] = answer.as_ref().map_or(&[], |bytes| bytes);
        if wires.set_out(asked, caller, "answer", bytes) == 0 {
            return;
        }
        let network = Arc::downgrade(self);
        let job = move || {
            let call = network.upgrade().and_then(|network| network.lock().calls.remove(&call));
            if let Some(call) = call {
                let _gone = call.answer.send(answer);
            }
        };
        wires.send(asked, caller, Box::new(job));
        self.changed.notify_one();
    }

    fn find(&self, number: u64) -> Option<Declared> {
        self.lock().declarations.get(&number).map(|declaration| declaration.what.clone())
    }

    /// Tells each watch what changed in what it can see.
    fn refresh(self: &Arc<Self>, wires: &mut Wires) {
        for (number, watcher, sightings) in wires.news() {
            for (owner, sighting) in sightings {
                if let Some(show) = &wires.watcher {
                    let (Sighting::Appeared(key) | Sighting::Gone(key)) = &sighting;
                    show(&Sent { from: owner, to: watcher, key, bytes: &[], copies: 1 });
                }
                let network = Arc::downgrade(self);
                let job = move || {
                    let found = network.upgrade().and_then(|network| network.find(number));
                    if let Some(Declared::Watch(witness)) = found {
                        witness(sighting);
                    }
                };
                wires.show(owner, watcher, Box::new(job));
            }
        }
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Wires> {
        self.wires.lock().expect("no code panics while it holds this lock")
    }
}

/// The sightings of one watch, each with the process that is seen.
type News = (u64, ProcessId, Vec<(ProcessId, Sighting)>);

impl Wires {
    fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// How many copies of a message arrive.
    fn copies(&mut self, from: ProcessId, to: ProcessId) -> usize {
        if from == to {
            return 1;
        }
        if self.is_cut(from, to) || self.dice.falls(self.faults.loss) {
            return 0;
        }
        if self.dice.falls(self.faults.duplication) { 2 } else { 1 }
    }

    /// How many copies of this message arrive; whoever watches is shown it.
    fn set_out(&mut self, from: ProcessId, to: ProcessId, key: &str, bytes: &[u8]) -> usize {
        let copies = self.copies(from, to);
        if let Some(watcher) = &self.watcher {
            watcher(&Sent { from, to, key, bytes, copies });
        }
        copies
    }

    fn send(&mut self, from: ProcessId, to: ProcessId, job: Job) {
        let due = Instant::now() + if from == to { Duration::ZERO } else { self.delay() };
        if self.faults.reorder {
            self.queue.at(due, job);
        } else {
            self.queue.in_order((from, to), due, job);
        }
    }

    /// Presences are never lost and keep their order, or somebody could stay for ever who left long ago. The end of
    /// one who is gone is seen at once.
    fn show(&mut self, owner: ProcessId, watcher: ProcessId, job: Job) {
        let is_near = owner == watcher || !self.processes.contains_key(&owner);
        let due = Instant::now() + if is_near { Duration::ZERO } else { self.delay() };
        self.queue.in_order((owner, watcher), due, job);
    }

    fn delay(&mut self) -> Duration {
        let (least, most) = (*self.faults.delay.start(), *self.faults.delay.end());
        let spread = u64::try_from(most.saturating_sub(least).as_nanos()).unwrap_or(u64::MAX - 1);
        least + Duration::from_nanos(self.dice.below(spread + 1))
    }

    fn is_cut(&self, from: ProcessId, to: ProcessId) -> bool {
        self.cut_since(from, to).is_some()
    }

    /// Since when `to` does not hear `from`.
    fn cut_since(&self, from: ProcessId, to: ProcessId) -> Option<Instant> {
        let (from, to) = (self.processes.get(&from)?, self.processes.get(&to)?);
        self.cuts.get(&(from.clone(), to.clone())).copied()
    }

    /// What each watch should believe in and does not, and the other way round.
    fn news(&mut self) -> Vec<News> {
        let now = Instant::now();
        let tokens: Vec<(String, ProcessId)> = self
            .declarations
            .values()
            .filter(|declaration| matches!(declaration.what, Declared::Token))
            .map(|declaration| (declaration.key.clone(), declaration.process))
            .collect();
        let watches: Vec<(u64, ProcessId)> = self
            .declarations
            .iter()
            .filter(|(_, declaration)| matches!(declaration.what, Declared::Watch(_)))
            .map(|(number, declaration)| (*number, declaration.process))
            .collect();
        let mut news = Vec::new();
        for (number, watcher) in watches {
            let lost = |owner| self.cut_since(owner, watcher).is_some_and(|since| now - since >= LEASE);
            let cut = |owner| self.is_cut(owner, watcher) || !self.processes.contains_key(&owner);
            let Some(watch) = self.declarations.get(&number) else { continue };
            let prefix = format!("{}/", watch.key);
            let mut sightings = Vec::new();
            let mut seen = BTreeMap::new();
            for (key, owner) in tokens.iter().filter(|(key, _)| key.starts_with(&prefix)) {
                let known = watch.seen.contains_key(key);
                let believed = if known { !lost(*owner) } else { !cut(*owner) };
                if believed {
                    seen.insert(key.clone(), *owner);
                    if !known {
                        sightings.push((*owner, Sighting::Appeared(key.clone())));
                    }
                }
            }
            for (key, owner) in watch.seen.iter().filter(|(key, _)| !seen.contains_key(*key)) {
                sightings.push((*owner, Sighting::Gone(key.clone())));
            }
            if let Some(watch) = self.declarations.get_mut(&number) {
                watch.seen = seen;
            }
            news.push((number, watcher, sightings));
        }
        news
    }

    fn take_declarations(&mut self, which: impl Fn(&Declaration) -> bool) -> Vec<Declaration> {
        self.declarations
            .extract_if(.., |_, declaration| which(declaration))
            .map(|(_, declaration)| declaration)
            .collect()
    }

    fn take_calls(&mut self, which: impl Fn(&Call) -> bool) -> Vec<Call> {
        self.calls.extract_if(.., |_, call| which(call)).map(|(_, call)| call).collect()
    }
}

/// Hands a question over; a reply dropped unused is nobody's.
fn ask(network: &Weak<Network>, answerer: u64, call: u64, bytes: Bytes) {
    let Some(strong) = network.upgrade() else { return };
    match strong.find(answerer) {
        Some(Declared::Answerer(answer)) => {
            let mut pending = Pending { network: network.clone(), call: Some(call) };
            answer(bytes, Reply::new(move |bytes| pending.settle(Ok(bytes))));
        }
        _ => strong.answer(call, Err(CallError::Nobody)),
    }
}

struct Pending {
    network: Weak<Network>,
    call: Option<u64>,
}

impl Pending {
    fn settle(&mut self, answer: Result<Bytes, CallError>) {
        if let (Some(call), Some(network)) = (self.call.take(), self.network.upgrade()) {
            network.answer(call, answer);
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.settle(Err(CallError::Nobody));
    }
}

/// Runs what is due, without holding the lock; ends with the network.
async fn deliver(network: Weak<Network>, changed: Arc<Notify>) {
    loop {
        let Some(strong) = network.upgrade() else { return };
        loop {
            let job = strong.lock().queue.pop(Instant::now());
            let Some(job) = job else { break };
            job();
        }
        let due = strong.lock().queue.next_due();
        drop(strong);
        match due {
            Some(due) => tokio::select! {
                biased;
                () = tokio::time::sleep_until(due) => {}
                () = changed.notified() => {}
            },
            None => changed.notified().await,
        }
    }
}
