//! Io. What systemd's daemons tell and do over D-Bus: states of units and links, sleep, scopes for processes.
//! Knows nothing of what exo's services do, and is never needed: where there is no D-Bus there is no [`Systemd`], and
//! everything else goes on without it.

mod bus;
mod links;
mod scope;
mod sleep;
mod units;

pub use bus::{BusError, Systemd};
pub use links::LinkState;
pub use scope::ScopeLimits;
pub use sleep::{IdleLock, SleepWatch};
pub use units::UnitState;
