//! Io. What this machine has: processors, memory, addresses, operating system.
//! Knows nothing of models, of kernels or of what is done with the numbers.
//!
//! Everything is read from where Linux tells it; a file that is missing (a container, another kernel) leaves its value
//! empty and is no error. The parsers are pure and are tested on recorded texts.

mod addresses;
mod cgroup;
mod cpu;
mod memory;
mod os;

pub use addresses::{Interface, addresses, rank};
pub use cpu::{Processors, processors};
pub use memory::resources;
pub use os::{host_name, os_name};

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// No file of the kernel that is read here is longer; a line per processor, at most a few thousand of them.
const LIMIT: u64 = 16 << 20;

/// The text of a file of the kernel; nothing if it is not there.
fn read(path: impl AsRef<Path>) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.take(LIMIT).read_to_string(&mut text).ok()?;
    Some(text)
}
