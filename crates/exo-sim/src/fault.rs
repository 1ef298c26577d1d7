//! What goes wrong.

use std::fmt;
use std::time::Duration;

/// Which machine, by its number.
pub type MachineNo = usize;

/// One of the processes of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// exo-master.
    Master,
    /// exo-worker.
    Worker,
    /// exo-api.
    Api,
}

impl Part {
    /// As one word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Worker => "worker",
            Self::Api => "api",
        }
    }
}

/// Something that goes wrong, or stops going wrong.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// Messages are late, lost, repeated, swapped.
    Weather {
        /// Share that never arrives.
        loss: f64,
        /// Share that arrives twice.
        duplication: f64,
        /// Longest way.
        delay: Duration,
        /// Whether messages overtake each other.
        reorder: bool,
    },
    /// The second machine does not hear the first.
    Cut(MachineNo, MachineNo),
    /// A machine hears nobody and is heard by nobody.
    Isolate(MachineNo),
    /// The first so many machines and the others do not hear each other.
    Apart(usize),
    /// All machines hear each other again.
    Heal,
    /// A process is killed; it is back after that time.
    Kill(MachineNo, Part, Duration),
    /// A master is stopped in order, leaves its session before it ends, and is started again.
    Leave(MachineNo),
    /// A machine loses its power; what was not synced is lost. It is back after that time.
    PowerCut(MachineNo, Duration),
    /// A machine loses its power in the middle of a write, so many calls to the disk from now.
    PowerCutWithin(MachineNo, u64, Duration),
    /// All machines lose their power at once.
    Blackout(Duration),
    /// A bit of the log flips while its machine is off.
    FlipBit(MachineNo, Duration),
    /// The disk takes nothing, or takes again.
    DiskFull(MachineNo, bool),
    /// The clock on the wall jumps by so many milliseconds.
    ClockJump(MachineNo, i64),
    /// The runners of a machine are killed.
    KillRunners(MachineNo),
    /// The runners of a machine stand still.
    HangRunners(MachineNo),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Weather { loss, duplication, delay, reorder } => {
                let order = if *reorder { ", swaps some" } else { "" };
                write!(f, "the network loses {loss:.2}, repeats {duplication:.2}, takes up to {delay:?}{order}")
            }
            Self::Cut(from, to) => write!(f, "n{to} does not hear n{from}"),
            Self::Isolate(machine) => write!(f, "n{machine} is cut off"),
            Self::Apart(first) => write!(f, "the first {first} machines and the others are cut off from each other"),
            Self::Heal => write!(f, "all machines hear each other"),
            Self::Kill(machine, part, down) => write!(f, "{} of n{machine} is killed for {down:?}", part.name()),
            Self::Leave(machine) => write!(f, "the master of n{machine} leaves, and comes again"),
            Self::PowerCut(machine, down) => write!(f, "n{machine} loses its power for {down:?}"),
            Self::PowerCutWithin(machine, calls, down) => {
                write!(f, "n{machine} loses its power for {down:?} after {calls} more calls to its disk")
            }
            Self::Blackout(down) => write!(f, "all machines lose their power for {down:?}"),
            Self::FlipBit(machine, down) => {
                write!(f, "n{machine} is switched off for {down:?}, and a bit of its log flips")
            }
            Self::DiskFull(machine, true) => write!(f, "the disk of n{machine} is full"),
            Self::DiskFull(machine, false) => write!(f, "the disk of n{machine} has room"),
            Self::ClockJump(machine, millis) => write!(f, "the clock of n{machine} jumps by {millis} ms"),
            Self::KillRunners(machine) => write!(f, "the runners of n{machine} are killed"),
            Self::HangRunners(machine) => write!(f, "the runners of n{machine} stand still"),
        }
    }
}

/// A fault and its time.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// Since the beginning.
    pub at: Duration,
    /// What.
    pub fault: Fault,
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>9.3} {}", self.at.as_secs_f64(), self.fault)
    }
}
