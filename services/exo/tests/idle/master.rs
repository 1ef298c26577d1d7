//! A real master on a disk in memory.

use exo_bus::Bus;
use exo_master::{MasterOptions, MemoryHome, run_over};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Runs until it is dropped.
pub async fn run(bus: Bus) {
    let ended = run_over(bus, MasterOptions::default(), Arc::new(MemoryHome::new(1)), None, CancellationToken::new());
    panic!("a master of an idle cluster ended: {:?}", ended.await);
}
