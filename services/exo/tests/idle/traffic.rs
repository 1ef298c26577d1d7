//! Counts what goes from machine to machine.

use exo_bus::{MemoryNetwork, ProcessId, Sent};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// What one machine sent to others.
#[derive(Debug, Clone, Copy, Default)]
pub struct Traffic {
    pub messages: u64,
    /// Of bodies, envelopes included, and of the keys that presences are.
    pub bytes: u64,
}

/// What all machines sent. Messages inside a machine cost its network nothing.
#[derive(Clone, Default)]
pub struct Meter {
    counted: Arc<Mutex<Counted>>,
}

#[derive(Default)]
struct Counted {
    machines: BTreeMap<ProcessId, String>,
    sent: BTreeMap<String, Traffic>,
    by_key: BTreeMap<String, u64>,
}

impl Meter {
    pub fn on(network: &MemoryNetwork) -> Self {
        let meter = Self::default();
        let counting = meter.clone();
        network.on_sent(move |sent| counting.count(sent));
        meter
    }

    pub fn knows(&self, process: ProcessId, machine: &str) {
        self.counted.lock().expect("no test panics here").machines.insert(process, machine.to_owned());
    }

    fn count(&self, sent: &Sent<'_>) {
        let mut counted = self.counted.lock().expect("no test panics here");
        let (from, to) = (counted.machines.get(&sent.from).cloned(), counted.machines.get(&sent.to).cloned());
        let Some(from) = from.filter(|from| Some(from) != to.as_ref()) else { return };
        // A presence is its key; other keys are told once and numbered afterwards.
        let bytes = if sent.bytes.is_empty() { sent.key.len() } else { sent.bytes.len() } as u64;
        let kind = sent.key.split('/').take(2).collect::<Vec<_>>().join("/");
        *counted.by_key.entry(format!("{from} {kind}")).or_default() += bytes;
        let traffic = counted.sent.entry(from).or_default();
        traffic.messages += 1;
        traffic.bytes += bytes;
    }

    /// Begins to count anew.
    pub fn reset(&self) {
        let mut counted = self.counted.lock().expect("no test panics here");
        counted.sent.clear();
        counted.by_key.clear();
    }

    pub fn sent_by(&self, machine: &str) -> Traffic {
        self.counted.lock().expect("no test panics here").sent.get(machine).copied().unwrap_or_default()
    }

    /// What the bytes were, for whoever has to find out.
    pub fn by_key(&self) -> BTreeMap<String, u64> {
        self.counted.lock().expect("no test panics here").by_key.clone()
    }
}
