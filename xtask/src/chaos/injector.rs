//! Carries faults out, and undoes them.

use crate::chaos::fault::{Fault, Planned};
use crate::chaos::history::History;
use crate::cluster::{Cluster, Direction, Part};
use anyhow::Result;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// What was done, for the table.
#[derive(Debug, Clone)]
pub struct Done {
    /// The fault.
    pub fault: Fault,
    /// When.
    pub at: Duration,
    /// Whether there was something to do it to.
    pub took_effect: bool,
}

/// Something that has to be undone.
#[derive(Debug)]
struct Pending {
    due: Duration,
    since: Duration,
    fault: Fault,
}

/// Does faults to a cluster.
pub struct Injector {
    history: Arc<History>,
    pending: Vec<Pending>,
    /// Everything so far.
    pub done: Vec<Done>,
}

impl Injector {
    /// Nothing is broken yet.
    pub fn new(history: Arc<History>) -> Self {
        Self { history, pending: Vec::new(), done: Vec::new() }
    }

    /// Does a fault.
    pub fn inject(&mut self, cluster: &mut Cluster, planned: &Planned) -> Result<()> {
        let at = self.history.now();
        let took_effect = apply(cluster, &planned.fault)?;
        self.done.push(Done { fault: planned.fault.clone(), at, took_effect });
        if took_effect {
            self.pending.push(Pending { due: at + planned.lasts, since: at, fault: planned.fault.clone() });
            self.cut_links(cluster)?;
        }
        Ok(())
    }

    /// Undoes what is due.
    pub fn undo_due(&mut self, cluster: &mut Cluster) -> Result<()> {
        let now = self.history.now();
        self.undo(cluster, |pending| pending.due <= now)
    }

    /// Undoes everything: no process is dead or stopped and no link cut afterwards.
    pub fn undo_all(&mut self, cluster: &mut Cluster) -> Result<()> {
        self.undo(cluster, |_| true)?;
        cluster.start_all()
    }

    fn undo(&mut self, cluster: &mut Cluster, is_due: impl Fn(&Pending) -> bool) -> Result<()> {
        let (due, left): (Vec<_>, Vec<_>) = std::mem::take(&mut self.pending).into_iter().partition(|p| is_due(p));
        self.pending = left;
        for pending in &due {
            self.undo_one(cluster, pending)?;
        }
        if due.is_empty() { Ok(()) } else { self.cut_links(cluster) }
    }

    fn undo_one(&self, cluster: &mut Cluster, pending: &Pending) -> Result<()> {
        match pending.fault {
            Fault::Kill { node, part } => self.start(cluster, node, part, pending.since),
            Fault::KillNode { node } => {
                let parts = cluster.node(node).parts().to_vec();
                parts.into_iter().try_for_each(|part| self.start(cluster, node, part, pending.since))
            }
            Fault::Pause { node, part } => {
                if part == Part::Api {
                    self.history.was_out(node, pending.since, false);
                }
                // One that was killed meanwhile is not paused any more.
                match cluster.node(node).process(part).filter(|process| process.is_paused()) {
                    Some(process) => process.resume(),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    fn start(&self, cluster: &mut Cluster, node: usize, part: Part, since: Duration) -> Result<()> {
        cluster.start(node, part)?;
        if part == Part::Api {
            self.history.was_out(node, since, true);
        }
        Ok(())
    }

    /// Cuts what the faults that are in force cut together.
    fn cut_links(&self, cluster: &mut Cluster) -> Result<()> {
        let nodes = cluster.count();
        let cut: BTreeSet<Direction> = self.pending.iter().flat_map(|pending| pending.fault.cuts(nodes)).collect();
        cluster.site().cut(&cut)
    }
}

/// False if there is nothing to do it to: it is dead or stopped already.
fn apply(cluster: &mut Cluster, fault: &Fault) -> Result<bool> {
    match *fault {
        Fault::Kill { node, part } => kill(cluster, node, part),
        Fault::KillRunner { node, choice } => cluster.node(node).kill_runner(choice),
        Fault::KillNode { node } => {
            let mut any = false;
            for part in cluster.node(node).parts().to_vec() {
                any |= kill(cluster, node, part)?;
            }
            Ok(any)
        }
        Fault::Pause { node, part } => {
            let node = cluster.node(node);
            if !node.is_running(part) {
                return Ok(false);
            }
            match node.process(part).filter(|process| !process.is_paused()) {
                Some(process) => process.pause().map(|()| true),
                None => Ok(false),
            }
        }
        _ => Ok(true),
    }
}

fn kill(cluster: &mut Cluster, node: usize, part: Part) -> Result<bool> {
    if !cluster.node(node).is_running(part) {
        return Ok(false);
    }
    match cluster.node(node).process(part) {
        Some(process) => process.kill().map(|()| true),
        None => Ok(false),
    }
}
