//! What the numbers of a bench depend on: the processor and what its memory gives at the moment.

use std::hint::black_box;
use std::time::Instant;

/// Bytes that one thread reads in a pass: beyond what the caches of usual machines keep for it.
const BYTES: usize = 192 << 20;

/// Buffers to measure the memory with, one for each thread.
pub struct Memory {
    buffers: Vec<Vec<u64>>,
}

impl Memory {
    /// For so many threads.
    pub fn new(threads: usize) -> Self {
        Self { buffers: (0..threads).map(|seed| vec![seed as u64 + 1; BYTES / 8]).collect() }
    }

    /// Gigabytes a second that all threads together read just now.
    pub fn gigabytes_per_second(&self) -> f64 {
        let begin = Instant::now();
        std::thread::scope(|scope| {
            for buffer in &self.buffers {
                scope.spawn(|| black_box(sum(buffer)));
            }
        });
        (self.buffers.len() * BYTES) as f64 / begin.elapsed().as_secs_f64() / 1e9
    }
}

/// Sums side by side, as many as fit into registers, so that loads and not additions set the pace.
fn sum(values: &[u64]) -> u64 {
    let mut sums = [0_u64; 16];
    for chunk in values.as_chunks::<16>().0 {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum = sum.wrapping_add(*value);
        }
    }
    sums.iter().fold(0, |all, sum| all.wrapping_add(*sum))
}

/// The processor's name as the kernel tells it.
pub fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}

/// Cores that this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
