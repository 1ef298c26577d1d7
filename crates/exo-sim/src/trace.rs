//! What happened, as a number and as lines.

use exo_bus::Sent;
use std::collections::VecDeque;
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Odd and without pattern: the golden ratio of 2^64.
const STIR: u64 = 0x9e37_79b9_7f4a_7c15;

/// How much of the lines is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// The last so many.
    Tail(usize),
    /// All of them, every message too: for comparing two runs.
    Everything,
}

/// The course of one simulation. A clone is the same course.
#[derive(Clone)]
pub struct Trace(Arc<Mutex<Inner>>);

struct Inner {
    started: Instant,
    keep: Keep,
    hash: u64,
    lines: VecDeque<String>,
    is_over: bool,
}

impl Trace {
    /// An empty one, from now on.
    pub fn new(keep: Keep) -> Self {
        let inner = Inner { started: Instant::now(), keep, hash: STIR, lines: VecDeque::new(), is_over: false };
        Self(Arc::new(Mutex::new(inner)))
    }

    /// Virtual time since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.lock().started.elapsed()
    }

    /// Something happened that is part of the course.
    pub fn say(&self, what: impl Display) {
        let mut inner = self.lock();
        let line = format!("{} {what}", stamp(inner.started.elapsed()));
        inner.stir_bytes(line.as_bytes());
        inner.keep(line);
    }

    /// Something to read that the number does not depend on.
    pub fn remark(&self, what: impl Display) {
        let mut inner = self.lock();
        let line = format!("{}   {what}", stamp(inner.started.elapsed()));
        inner.keep(line);
    }

    /// The course ends here: in which order what is left is taken down is nobody's business.
    pub fn end(&self) {
        self.lock().is_over = true;
    }

    /// A message set out.
    pub fn sent(&self, sent: &Sent<'_>) {
        let mut inner = self.lock();
        if inner.is_over {
            return;
        }
        let at = inner.started.elapsed();
        inner.stir(u64::try_from(at.as_micros()).unwrap_or(u64::MAX));
        inner.stir(sent.from.0 ^ sent.to.0.rotate_left(32) ^ (sent.copies as u64) << 60);
        inner.stir_bytes(sent.key.as_bytes());
        inner.stir_bytes(sent.bytes);
        if inner.keep == Keep::Everything {
            let key: String = sent.key.chars().take(60).collect();
            let hash = inner.hash;
            let line = format!(
                "{}   {} to {}: {key}, {} bytes, {} copies ({hash:016x})",
                stamp(at),
                sent.from.0,
                sent.to.0,
                sent.bytes.len(),
                sent.copies
            );
            inner.keep(line);
        }
    }

    /// The number: the same course, the same number.
    pub fn hash(&self) -> u64 {
        self.lock().hash
    }

    /// The lines that were kept.
    pub fn lines(&self) -> Vec<String> {
        self.lock().lines.iter().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere is a finding; what was traced before it still counts.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn stir(&mut self, word: u64) {
        if self.is_over {
            return;
        }
        self.hash = (self.hash ^ word).wrapping_mul(STIR);
        self.hash ^= self.hash >> 29;
    }

    fn stir_bytes(&mut self, bytes: &[u8]) {
        self.stir(bytes.len() as u64);
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.stir(u64::from_le_bytes(*word));
        }
        for byte in rest {
            self.stir(u64::from(*byte));
        }
    }

    fn keep(&mut self, line: String) {
        if self.is_over {
            return;
        }
        if let Keep::Tail(lines) = self.keep
            && self.lines.len() >= lines.max(1)
        {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }
}

fn stamp(at: Duration) -> String {
    format!("{:>9.3}", at.as_secs_f64())
}
