//! Io. The wall clock and the chance of the machine, or of a simulated one.
//! Knows nothing of what they are used for.
//!
//! Drivers ask here instead of asking the system. A simulation runs on one thread: it calls [`simulate`] there, and
//! from then on the same seed gives the same answers. Elsewhere nothing changes.
//!
//! ```
//! use exo_ambient::{fresh_id, simulate, wall_clock};
//! use std::time::Duration;
//!
//! let one_run = || {
//!     let _simulated = simulate(7, || Duration::from_secs(1_000));
//!     (fresh_id(), wall_clock())
//! };
//! assert_eq!(one_run(), one_run());
//! assert_ne!(fresh_id(), fresh_id());
//! ```

mod bug;
mod dice;
mod skewed;
mod source;

#[cfg(feature = "planted-bugs")]
pub use bug::plant;
pub use bug::{Bug, planted};
pub use dice::Dice;
pub use skewed::{Skew, Skewed};
pub use source::{Simulated, fresh_id, fresh_number, simulate, wall_clock};
