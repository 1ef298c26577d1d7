//! What a seed means: how many machines, and what goes wrong when.

use crate::fault::{Fault, MachineNo, Part, Planned};
use exo_ambient::Dice;
use std::collections::BTreeSet;
use std::time::Duration;

/// Masters find each other and workers are known by then; nothing goes wrong before.
pub const CALM: Duration = Duration::from_secs(5);

/// So long things go wrong.
const STORM: Duration = Duration::from_secs(12);

/// How long after the last fault the cluster must serve.
pub const RECOVERY: Duration = Duration::from_secs(10);

/// One simulation.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Where all of it comes from.
    pub seed: u64,
    /// Machines; each has a worker.
    pub machines: usize,
    /// The first so many have a master.
    pub masters: usize,
    /// The first so many have an api.
    pub apis: usize,
    /// By time.
    pub faults: Vec<Planned>,
    /// When they stop.
    pub storm_ends: Duration,
}

impl Scenario {
    /// Draws one.
    pub fn from_seed(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let masters = match dice.below(10) {
            0..=2 => 1,
            3..=8 => 3,
            _ => 5,
        };
        let machines = masters.max(3);
        let mut storm = Storm { dice, machines, masters, faults: Vec::new(), flipped: BTreeSet::new() };
        storm.draw();
        let mut faults = storm.faults;
        faults.sort_by_key(|planned| planned.at);
        Self { seed, machines, masters, apis: 2, faults, storm_ends: CALM + STORM }
    }

    /// Machines of which a bit flips: never so many that those left are no majority of the masters.
    fn most_flips(masters: usize) -> usize {
        (masters - 1) / 2
    }
}

struct Storm {
    dice: Dice,
    machines: usize,
    masters: usize,
    faults: Vec<Planned>,
    flipped: BTreeSet<MachineNo>,
}

impl Storm {
    fn draw(&mut self) {
        if self.dice.falls(0.7) {
            let weather = self.weather();
            self.add(CALM, weather);
        }
        for _ in 0..2 + self.dice.below(5) {
            let at = CALM + self.millis(0, STORM.as_millis() as u64 * 3 / 4);
            self.one(at);
        }
    }

    fn add(&mut self, at: Duration, fault: Fault) {
        self.faults.push(Planned { at, fault });
    }

    fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.dice.below(to - from + 1))
    }

    fn machine(&mut self) -> MachineNo {
        self.dice.below(self.machines as u64) as usize
    }

    fn master(&mut self) -> MachineNo {
        self.dice.below(self.masters as u64) as usize
    }

    fn weather(&mut self) -> Fault {
        let mut share = |most: u64| self.dice.below(most * 100) as f64 / 10_000.0;
        let (loss, duplication) = (share(15), share(15));
        let delay = self.millis(1, 120);
        Fault::Weather { loss, duplication, delay, reorder: self.dice.falls(0.5) }
    }

    /// One thing that goes wrong at that time, with its end where it has one of its own.
    fn one(&mut self, at: Duration) {
        let down = self.millis(50, 4_000);
        match self.dice.below(16) {
            0 => {
                let weather = self.weather();
                self.add(at, weather);
            }
            1 | 2 => {
                let (from, to) = (self.machine(), self.machine());
                if from != to {
                    self.add(at, Fault::Cut(from, to));
                    self.add(at + down, Fault::Heal);
                }
            }
            3 | 4 => {
                let machine = self.machine();
                self.add(at, Fault::Isolate(machine));
                self.add(at + down, Fault::Heal);
            }
            5 | 6 => {
                let master = self.master();
                self.add(at, Fault::Kill(master, Part::Master, down));
            }
            7 => {
                let (machine, part) = (self.machine(), if self.dice.falls(0.5) { Part::Worker } else { Part::Api });
                self.add(at, Fault::Kill(machine, part, down));
            }
            8 => {
                let machine = self.machine();
                self.add(at, Fault::PowerCut(machine, down));
            }
            9 => {
                let (master, calls) = (self.master(), self.dice.below(40));
                self.add(at, Fault::PowerCutWithin(master, calls, down));
            }
            10 | 11 => self.add(at, Fault::Blackout(down)),
            12 => self.flip(at, down),
            13 => {
                let master = self.master();
                self.add(at, Fault::DiskFull(master, true));
                self.add(at + down, Fault::DiskFull(master, false));
            }
            14 => {
                let (machine, by) = (self.machine(), self.dice.below(7_200_000) as i64 - 3_600_000);
                self.add(at, Fault::ClockJump(machine, by));
            }
            _ => {
                let machine = self.machine();
                let fault =
                    if self.dice.falls(0.5) { Fault::KillRunners(machine) } else { Fault::HangRunners(machine) };
                self.add(at, fault);
            }
        }
    }

    fn flip(&mut self, at: Duration, down: Duration) {
        let master = self.master();
        let is_minority = self.flipped.contains(&master) || self.flipped.len() < Scenario::most_flips(self.masters);
        if is_minority {
            self.flipped.insert(master);
            self.add(at, Fault::FlipBit(master, down));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_means_one_scenario_and_all_faults_come_up() {
        let mut seen = BTreeSet::new();
        for seed in 0..300 {
            let scenario = Scenario::from_seed(seed);
            assert_eq!(scenario, Scenario::from_seed(seed));
            assert!(scenario.faults.is_sorted_by_key(|planned| planned.at));
            let flipped: BTreeSet<_> = scenario
                .faults
                .iter()
                .filter_map(|planned| match planned.fault {
                    Fault::FlipBit(machine, _) => Some(machine),
                    _ => None,
                })
                .collect();
            assert!(flipped.len() * 2 < scenario.masters.max(1), "{scenario:?}");
            let name = |planned: &Planned| format!("{:?}", planned.fault).split(['(', ' ']).next().map(str::to_owned);
            seen.extend(scenario.faults.iter().filter_map(name));
        }
        assert_eq!(seen.len(), 13, "{seen:?}");
    }
}
