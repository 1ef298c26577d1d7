//! The device: an instruction set and threads.

use crate::isa::{Isa, IsaError};
use crate::pool::Pool;

/// An instruction set that this machine is known to have, and the threads that run the kernels.
///
/// Holding one is the proof that its instructions may be used: it is only made after the check.
#[derive(Debug)]
pub struct Cpu {
    isa: Isa,
    pool: Pool,
}

impl Cpu {
    /// Checks the instruction set and starts `threads - 1` threads; the caller of each operation is the last one.
    pub fn new(isa: Isa, threads: usize, pin: bool) -> Result<Self, IsaError> {
        Ok(Self { isa: isa.checked()?, pool: Pool::new(threads, pin) })
    }

    /// The instruction set.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// The threads.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }
}
