//! What a seed means: how many machines, and what goes wrong when.

use crate::fault::{Fault, MachineNo, Part, Planned};
use exo_ambient::Dice;
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

/// Masters find each other and workers are known by then; nothing goes wrong before.
pub const CALM: Duration = Duration::from_secs(5);

/// Clients begin when everybody had time to find each other.
pub(crate) const CLIENTS_BEGIN: Duration = Duration::from_secs(3);

/// So long things go wrong.
const STORM: Duration = Duration::from_secs(12);

/// Longer, where a master is away for longer than a voter may be (10 s).
const LONG_STORM: Duration = Duration::from_secs(24);

/// How long after the last fault the cluster must serve.
pub const RECOVERY: Duration = Duration::from_secs(10);

/// What a simulation is about, besides the faults that all have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Nothing else.
    Plain,
    /// Two masters that go on alone after a short time.
    TakeOver,
    /// Two sessions that are founded apart, and meet.
    Meeting,
    /// A spare master, and a voter that is away for longer than one may be.
    LongAbsence,
    /// A master that comes when the session is under way.
    LateJoin,
    /// Masters that leave their session, and come again.
    Leave,
}

impl Kind {
    fn draw(dice: &mut Dice) -> Self {
        match dice.below(20) {
            0..=11 => Self::Plain,
            12 | 13 => Self::TakeOver,
            14 | 15 => Self::Meeting,
            16 | 17 => Self::LongAbsence,
            18 => Self::LateJoin,
            _ => Self::Leave,
        }
    }

    fn masters(self, dice: &mut Dice) -> usize {
        let mut one_of = |numbers: &[usize]| numbers[dice.below(numbers.len() as u64) as usize];
        match self {
            Self::Plain => one_of(&[1, 1, 2, 3, 3, 3, 3, 3, 4, 5]),
            Self::TakeOver => 2,
            Self::Meeting | Self::LateJoin => one_of(&[2, 3, 4]),
            Self::LongAbsence => 4,
            Self::Leave => one_of(&[3, 4, 5]),
        }
    }

    /// Masters that may be damaged: so few that those left have everything and decide. Where the voters are fewer for a
    /// while than there are masters, nobody can tell how many that are.
    fn most_flips(self, masters: usize) -> usize {
        match self {
            Self::Plain | Self::LongAbsence => (masters - 1) / 2,
            Self::TakeOver | Self::Meeting | Self::LateJoin | Self::Leave => 0,
        }
    }
}

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
    /// How long a survivor of one or two voters waits before it goes on alone; for ever, if none.
    pub take_over_after: Option<Duration>,
    /// A machine that is switched on later than the others.
    pub late: Option<(MachineNo, Duration)>,
    /// By time.
    pub faults: Vec<Planned>,
    /// When they stop.
    pub storm_ends: Duration,
}

impl Scenario {
    /// Draws one.
    pub fn from_seed(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let kind = Kind::draw(&mut dice);
        let masters = kind.masters(&mut dice);
        let machines = masters.max(3);
        let length = if kind == Kind::LongAbsence { LONG_STORM } else { STORM };
        let most_flips = kind.most_flips(masters);
        let (faults, flipped) = (Vec::new(), BTreeSet::new());
        let mut storm = Storm { dice, machines, masters, length, most_flips, faults, flipped };
        storm.draw();
        let may_take_over = kind == Kind::TakeOver || (kind == Kind::Meeting && storm.dice.falls(0.5));
        let take_over_after = may_take_over.then(|| storm.millis(1_500, 3_000));
        let late = (kind == Kind::LateJoin).then(|| (masters - 1, CALM + storm.millis(0, 6_000)));
        storm.draw_kind(kind);
        let mut faults = storm.faults;
        faults.sort_by_key(|planned| planned.at);
        Self { seed, machines, masters, apis: 2, take_over_after, late, faults, storm_ends: CALM + length }
    }

    /// Whether there may be more than one session.
    pub(crate) fn may_be_apart(&self) -> bool {
        let is_apart = |planned: &Planned| planned.at.is_zero() && matches!(planned.fault, Fault::Apart(_));
        self.take_over_after.is_some() || self.faults.iter().any(is_apart)
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} machines, {} masters", self.machines, self.masters)?;
        if let Some(patience) = self.take_over_after {
            write!(f, ", a survivor takes over after {patience:?}")?;
        }
        match self.late {
            Some((machine, at)) => write!(f, ", n{machine} is switched on after {at:?}"),
            None => Ok(()),
        }
    }
}

struct Storm {
    dice: Dice,
    machines: usize,
    masters: usize,
    length: Duration,
    most_flips: usize,
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
            let at = CALM + self.millis(0, self.length.as_millis() as u64 * 3 / 4);
            self.one(at);
        }
    }

    /// What the kind of the simulation is about.
    fn draw_kind(&mut self, kind: Kind) {
        match kind {
            Kind::Plain | Kind::LateJoin => {}
            Kind::TakeOver => {
                let (at, down) = (CALM + self.millis(0, 3_000), self.millis(5_000, 8_000));
                self.absence(at, down);
            }
            Kind::Meeting => {
                let first = 1 + self.dice.below(self.masters as u64 - 1) as usize;
                let met = self.millis(4_000, 12_000);
                self.add(Duration::ZERO, Fault::Apart(first));
                self.add(met, Fault::Heal);
            }
            Kind::LongAbsence => {
                let (at, down) = (CALM + self.millis(0, 4_000), self.millis(13_000, 18_000));
                self.absence(at, down);
            }
            Kind::Leave => {
                for _ in 0..=self.dice.below(2) {
                    let (at, master) = (CALM + self.millis(0, 8_000), self.master());
                    self.add(at, Fault::Leave(master));
                }
            }
        }
    }

    /// A master that is away, in one way or another.
    fn absence(&mut self, at: Duration, down: Duration) {
        let master = self.master();
        match self.dice.below(3) {
            0 => self.add(at, Fault::Kill(master, Part::Master, down)),
            1 => self.add(at, Fault::PowerCut(master, down)),
            _ => {
                self.add(at, Fault::Isolate(master));
                self.add(at + down, Fault::Heal);
            }
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
                let apart = if self.dice.falls(0.5) {
                    Fault::Isolate(self.machine())
                } else {
                    Fault::Apart(1 + self.dice.below(self.machines as u64 - 1) as usize)
                };
                self.add(at, apart);
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
        let is_minority = self.flipped.contains(&master) || self.flipped.len() < self.most_flips;
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
        assert_eq!(seen.len(), 15, "{seen:?}");
    }
}
