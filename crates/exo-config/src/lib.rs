//! Pure. The one configuration file: its keys, defaults, checks and overrides; and the file of wanted instances.
//! Knows nothing of files or the environment: their contents are arguments ([`Sources`]).
//!
//! [`KEYS`] is the only list of keys. Reading, overriding, printing and the reference document all walk it, so that
//! none of them can forget a key.

mod check;
mod config;
mod error;
mod key;
mod load;
mod nearest;
mod print;
mod quantity;
mod read;
mod reference;
mod value;
mod wanted;

pub use config::{
    Api, Config, Cpu, Election, Engine, LogFormat, Logging, Mode, Models, Networking, Quantize, Runner, Security, Tls,
};
pub use error::{ConfigErrors, Problem};
pub use key::{KEYS, Key, Kind};
pub use load::{Loaded, Origin, Sources, Surroundings, load};
pub use print::print;
pub use reference::reference;
pub use wanted::{Cut, Wanted, WantedError, read_wanted};
