//! How fast main memory is read, measured.
//!
//! After STREAM (McCalpin, 1995), but for reads alone: decoding reads every weight once for a token and writes next to
//! nothing. All threads that would compute read buffers that do not fit into the caches.

use crate::Processors;
use exo_types::Memory;
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Long enough for the clock of the processor to rise, short enough to wait for it.
const TIME: Duration = Duration::from_millis(100);

/// Longest wait of a thread for the others.
const PATIENCE: Duration = Duration::from_millis(500);

/// All buffers together are at least so large: four times a usual last level of caches.
const LEAST: u64 = 64 << 20;

/// And at most, so that filling them takes less time than reading.
const MOST: u64 = 1 << 30;

/// Words that are read between two looks at the clock.
const BLOCK: usize = 64 << 10;

/// Bytes in a second that one thread for each physical core reads from main memory together. Takes about a fifth of a
/// second and a part of the free memory: `available / 8`, at most 1 GiB. Nothing where that is too little to leave the
/// caches, or where the system gives no threads.
pub fn memory_bandwidth(processors: &Processors, available: Memory) -> Option<u64> {
    let wanted = processors.last_level_cache().saturating_mul(4).clamp(LEAST, MOST);
    let size = wanted.min(available.in_bytes / 8);
    if size < LEAST / 2 {
        return None;
    }
    measure(usize::try_from(processors.threads()).ok()?, usize::try_from(size).ok()?, TIME)
}

fn measure(threads: usize, size: usize, time: Duration) -> Option<u64> {
    let words = (size / size_of::<u64>() / threads).max(BLOCK);
    let filled = AtomicUsize::new(0);
    let worker = || {
        // A thread fills its own buffer, so that its pages lie in memory that is near to it.
        let buffer = vec![1_u64; words];
        filled.fetch_add(1, Ordering::Relaxed);
        wait_for(&filled, threads);
        read_for(&buffer, time)
    };
    let read = thread::scope(|scope| {
        let handles: Vec<_> = (1..threads).map(|_| thread::Builder::new().spawn_scoped(scope, worker)).collect();
        let others = || handles.into_iter().map(|handle| handle.ok()?.join().ok()).sum::<Option<f64>>();
        let own = worker();
        others().map(|others| own + others)
    });
    read.map(|rate| rate as u64)
}

/// Until all threads are there; a thread that the system did not give is not waited for.
fn wait_for(filled: &AtomicUsize, threads: usize) {
    let begin = Instant::now();
    while filled.load(Ordering::Relaxed) < threads && begin.elapsed() < PATIENCE {
        thread::yield_now();
    }
}

/// Bytes in a second.
fn read_for(buffer: &[u64], time: Duration) -> f64 {
    let begin = Instant::now();
    let mut words = 0;
    loop {
        for block in buffer.chunks(BLOCK) {
            black_box(sum(black_box(block)));
            words += block.len();
            let elapsed = begin.elapsed();
            if elapsed >= time {
                return (words * size_of::<u64>()) as f64 / elapsed.as_secs_f64();
            }
        }
    }
}

/// Sixteen sums, so that no addition waits for the one before it.
fn sum(block: &[u64]) -> u64 {
    let mut sums = [0_u64; 16];
    let (chunks, _rest) = block.as_chunks::<16>();
    for chunk in chunks {
        for (sum, word) in sums.iter_mut().zip(chunk) {
            *sum = sum.wrapping_add(*word);
        }
    }
    sums.into_iter().fold(0, u64::wrapping_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read() {
        assert_eq!(sum(&vec![1; BLOCK]), BLOCK as u64);
    }

    #[test]
    fn two_threads_measure_something() {
        let rate = measure(2, 1 << 20, Duration::from_millis(1)).expect("two threads");
        assert!(rate > 0);
    }

    #[test]
    fn a_machine_without_free_memory_is_not_measured() {
        assert_eq!(memory_bandwidth(&Processors::default(), Memory::mib(8)), None);
    }
}
