//! Io. Runner processes: start, confine, talk to, kill.
//! Knows nothing of models, of the State or of what the messages set going.
//!
//! A [`RunnerHost`] starts children that live no longer than it does: each is its own process group, gets SIGKILL from
//! the kernel when the host's process ends, and is killed and reaped when its [`Runner`] is dropped. Host and child
//! exchange typed frames over a socket pair whose other end is the child's standard input; what the child prints
//! becomes log lines of the host.
//!
//! The child's half is [`RunnerSide`]: blocking, for a program of a few threads.

mod confine;
mod frame;
mod host;
mod keeper;
mod lines;
mod process;
mod protocol;
mod runner;
mod side;
mod start;

pub use confine::{Confinement, Limits, NetworkUse, confinement_here, refuse_programs};
pub use frame::{FRAME_LIMIT, FrameError, PROTOCOL_VERSION, read_message};
pub use host::{RunnerHost, RunnerProgram, SpawnError};
pub use protocol::{Connect, HostMessage, LinkSettings, Load, RankAddress, RunnerMessage};
pub use runner::{ExitReport, Runner, RunnerEvent, RunnerEvents, SendError};
pub use side::{HostReader, HostWriter, RunnerSide, SideError};
pub use start::{Boxed, Child, StartRunners};
