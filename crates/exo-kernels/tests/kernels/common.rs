//! What the kernel tests share.

use exo_kernels::{Cpu, Isa};

/// A fixed sequence of pseudo-random numbers.
pub struct Noise(u64);

impl Noise {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) as u32
    }

    /// About normal, with standard deviation 1 or so.
    pub fn floats(&mut self, n: usize) -> Vec<f32> {
        let mut uniform = || self.next() as f32 / u32::MAX as f32 - 0.5;
        (0..n).map(|_| 2.0 * (uniform() + uniform() + uniform())).collect()
    }
}

/// One device per instruction set of this machine.
pub fn cpus(threads: usize) -> Vec<Cpu> {
    Isa::available().into_iter().map(|isa| Cpu::new(isa, threads, false).expect("it is available")).collect()
}
