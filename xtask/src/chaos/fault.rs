//! What is done to the cluster, and when. Pure: the same seed plans the same.

use crate::cluster::{Direction, Part, name_of};
use exo_testkit::Random;
use std::fmt;
use std::time::Duration;

/// Something bad.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL to a process, which is started again a while later.
    Kill {
        /// On which node.
        node: usize,
        /// Which.
        part: Part,
    },
    /// SIGKILL to one of the runners of a node; its worker has to notice.
    KillRunner {
        /// On which node.
        node: usize,
        /// Which of them, counted round.
        choice: u64,
    },
    /// SIGKILL to all processes of a node, which are started again a while later.
    KillNode {
        /// Which.
        node: usize,
    },
    /// SIGSTOP to a process, and SIGCONT a while later.
    Pause {
        /// On which node.
        node: usize,
        /// Which.
        part: Part,
    },
    /// A node and the others lose all packets to each other.
    Isolate {
        /// Which.
        node: usize,
    },
    /// What the others send does not reach a node; they hear it.
    Deafen {
        /// Which.
        node: usize,
    },
    /// What a node sends does not reach the others; it hears them.
    Mute {
        /// Which.
        node: usize,
    },
    /// Two nodes lose all packets to each other; both reach the third.
    CutLink {
        /// One end.
        one: usize,
        /// The other.
        other: usize,
    },
}

/// A fault with its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// When, from the begin.
    pub at: Duration,
    /// How long until it is undone; nothing if others do that.
    pub lasts: Duration,
    /// What.
    pub fault: Fault,
}

/// What can be done.
#[derive(Debug, Clone)]
pub struct Means {
    /// Nodes.
    pub nodes: usize,
    /// Processes that each node has.
    pub parts: Vec<Vec<Part>>,
    /// Whether links can be cut.
    pub links: bool,
}

/// Between two faults.
const PAUSE_MS: (u64, u64) = (2_000, 5_000);

/// Until something that was killed is started again, as a service manager would.
const RESTART_MS: (u64, u64) = (200, 3_000);

/// How long something stays paused or cut: shorter and longer than what takes a node for dead.
const TROUBLE_MS: (u64, u64) = (500, 7_000);

impl Fault {
    /// Whether it ends a process.
    pub fn kills(&self) -> bool {
        matches!(self, Self::Kill { .. } | Self::KillRunner { .. } | Self::KillNode { .. })
    }

    /// Whether it cuts links.
    pub fn is_cut(&self) -> bool {
        matches!(self, Self::Isolate { .. } | Self::Deafen { .. } | Self::Mute { .. } | Self::CutLink { .. })
    }

    /// The kind, for the table.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Kill { part: Part::Master, .. } => "kill -9 master",
            Self::Kill { part: Part::Worker, .. } => "kill -9 worker",
            Self::Kill { part: Part::Api, .. } => "kill -9 api",
            Self::Kill { part: Part::Up, .. } => "kill -9 exo",
            Self::KillRunner { .. } => "kill -9 runner",
            Self::KillNode { .. } => "kill -9 node",
            Self::Pause { part: Part::Master, .. } => "pause master",
            Self::Pause { part: Part::Worker, .. } => "pause worker",
            Self::Pause { part: Part::Api, .. } => "pause api",
            Self::Pause { part: Part::Up, .. } => "pause exo",
            Self::Isolate { .. } => "isolate node",
            Self::Deafen { .. } => "node hears nobody",
            Self::Mute { .. } => "nobody hears node",
            Self::CutLink { .. } => "cut one link",
        }
    }

    /// Which directions it cuts, of so many nodes.
    pub fn cuts(&self, nodes: usize) -> Vec<Direction> {
        let others = |node: usize| (0..nodes).filter(move |other| *other != node);
        let to = |node: usize| others(node).map(move |from| Direction { from, to: node });
        let from = |node: usize| others(node).map(move |to| Direction { from: node, to });
        match *self {
            Self::Isolate { node } => to(node).chain(from(node)).collect(),
            Self::Deafen { node } => to(node).collect(),
            Self::Mute { node } => from(node).collect(),
            Self::CutLink { one, other } => {
                vec![Direction { from: one, to: other }, Direction { from: other, to: one }]
            }
            _ => Vec::new(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill { node, part } => write!(f, "kill -9 {part} of {}", name_of(*node)),
            Self::KillRunner { node, .. } => write!(f, "kill -9 a runner of {}", name_of(*node)),
            Self::KillNode { node } => write!(f, "kill -9 all of {}", name_of(*node)),
            Self::Pause { node, part } => write!(f, "pause {part} of {}", name_of(*node)),
            Self::Isolate { node } => write!(f, "cut {} off", name_of(*node)),
            Self::Deafen { node } => write!(f, "{} hears nobody", name_of(*node)),
            Self::Mute { node } => write!(f, "nobody hears {}", name_of(*node)),
            Self::CutLink { one, other } => write!(f, "cut {} from {}", name_of(*one), name_of(*other)),
        }
    }
}

/// Plans faults for `length`: one every few seconds. The first kills a process and the second cuts a node off, so that the
/// shortest run has both.
pub fn plan(seed: u64, means: &Means, length: Duration) -> Vec<Planned> {
    let mut random = Random::new(seed);
    let mut planned = Vec::new();
    let mut at = millis(&mut random, PAUSE_MS);
    while at < length {
        let fault = match planned.len() {
            0 => kill(&mut random, means),
            1 if means.links => Fault::Isolate { node: below(&mut random, means.nodes) },
            _ => draw(&mut random, means),
        };
        let range = match fault {
            Fault::Kill { .. } | Fault::KillNode { .. } => Some(RESTART_MS),
            // Its worker undoes it.
            Fault::KillRunner { .. } => None,
            _ => Some(TROUBLE_MS),
        };
        let lasts = range.map_or(Duration::ZERO, |range| millis(&mut random, range));
        planned.push(Planned { at, lasts, fault });
        at += millis(&mut random, PAUSE_MS);
    }
    planned
}

fn millis(random: &mut Random, (least, most): (u64, u64)) -> Duration {
    Duration::from_millis(least + random.next_u64() % (most - least))
}

fn below(random: &mut Random, count: usize) -> usize {
    usize::try_from(random.next_u64() % count as u64).unwrap_or_default()
}

fn kill(random: &mut Random, means: &Means) -> Fault {
    let (node, part) = process(random, means);
    Fault::Kill { node, part }
}

fn process(random: &mut Random, means: &Means) -> (usize, Part) {
    let node = below(random, means.nodes);
    let parts = &means.parts[node];
    (node, parts[below(random, parts.len())])
}

fn draw(random: &mut Random, means: &Means) -> Fault {
    let (node, part) = process(random, means);
    let kinds = if means.links { 12 } else { 7 };
    match random.next_u64() % kinds {
        0..=2 => Fault::Kill { node, part },
        3 => Fault::KillRunner { node, choice: random.next_u64() },
        4 => Fault::KillNode { node },
        5 | 6 => Fault::Pause { node, part },
        7 | 8 => Fault::Isolate { node },
        9 => Fault::Deafen { node },
        10 => Fault::Mute { node },
        _ => Fault::CutLink { one: node, other: (node + 1 + below(random, means.nodes - 1)) % means.nodes },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn means(links: bool) -> Means {
        Means { nodes: 3, parts: vec![Part::SERVICES.to_vec(); 3], links }
    }

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn the_same_seed_plans_the_same() {
        assert_eq!(plan(7, &means(true), HOUR), plan(7, &means(true), HOUR));
        assert_ne!(plan(7, &means(true), HOUR), plan(8, &means(true), HOUR));
    }

    #[test]
    fn every_kind_comes_and_links_are_cut_only_where_there_are_some() {
        let kinds = |links| plan(1, &means(links), HOUR).iter().map(|p| p.fault.kind()).collect::<BTreeSet<_>>();
        assert_eq!(kinds(true).len(), 12);
        assert_eq!(kinds(false).len(), 8);
        let without = plan(1, &means(false), HOUR);
        assert!(without.iter().all(|planned| planned.fault.cuts(3).is_empty()));
    }

    #[test]
    fn faults_come_every_few_seconds_and_name_nodes_that_exist() {
        let planned = plan(3, &means(true), HOUR);
        for (one, next) in planned.iter().zip(&planned[1..]) {
            let pause = (next.at - one.at).as_millis();
            assert!((2_000..5_000).contains(&pause), "{pause} ms");
        }
        for planned in &planned {
            let good = |direction: &Direction| direction.from != direction.to && direction.from < 3 && direction.to < 3;
            assert!(planned.fault.cuts(3).iter().all(good), "{planned:?}");
        }
    }

    #[test]
    fn the_shortest_run_kills_a_process_and_cuts_a_node_off() {
        for seed in 0..200 {
            let planned = plan(seed, &means(true), Duration::from_secs(10));
            let [first, second, ..] = planned.as_slice() else { panic!("seed {seed}: {planned:?}") };
            assert!(matches!(first.fault, Fault::Kill { .. }) && first.fault.kills(), "seed {seed}: {first:?}");
            assert_eq!(second.fault.cuts(3).len(), 4, "seed {seed}: {second:?}");
            assert!(plan(seed, &means(false), HOUR)[0].fault.kills(), "seed {seed}");
        }
    }

    #[test]
    fn a_partition_cuts_what_its_name_says() {
        let pairs = |fault: Fault| fault.cuts(3).iter().map(|d| (d.from, d.to)).collect::<BTreeSet<_>>();
        assert_eq!(pairs(Fault::Isolate { node: 1 }), BTreeSet::from([(0, 1), (2, 1), (1, 0), (1, 2)]));
        assert_eq!(pairs(Fault::Deafen { node: 1 }), BTreeSet::from([(0, 1), (2, 1)]));
        assert_eq!(pairs(Fault::Mute { node: 1 }), BTreeSet::from([(1, 0), (1, 2)]));
        assert_eq!(pairs(Fault::CutLink { one: 0, other: 2 }), BTreeSet::from([(0, 2), (2, 0)]));
    }
}
