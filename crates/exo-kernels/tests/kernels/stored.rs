//! Random matrices in every stored form, and products in double precision as the oracle.

use exo_gguf::{GgmlType, dequantize, quantize};
use exo_kernels::{Cpu, Dtype, Matrix, Weights};

use crate::common::Noise;

fn ggml(dtype: Dtype) -> GgmlType {
    GgmlType::all().find(|ggml| ggml.name() == dtype.name()).expect("the same names")
}

/// A random matrix, stored, and its values.
pub struct Stored {
    pub dtype: Dtype,
    pub n: usize,
    pub k: usize,
    pub bytes: Vec<u8>,
    pub values: Vec<f32>,
}

impl Stored {
    pub fn random(dtype: Dtype, n: usize, k: usize, seed: u64) -> Self {
        let bytes = quantize::to_vec(ggml(dtype), &Noise::new(seed).floats(n * k));
        let values = dequantize::to_vec(ggml(dtype), &bytes);
        Self { dtype, n, k, bytes, values }
    }

    pub fn matrix(&self) -> Matrix<'_> {
        Matrix::new(self.dtype, self.n, self.k, &self.bytes).expect("sizes fit")
    }

    pub fn pack(&self, cpu: &Cpu) -> Weights {
        Weights::pack(cpu, &self.matrix())
    }

    /// The product of a row and how far a kernel may be off: half a step of the activations' rounding times the weights,
    /// and the rounding of `k` float sums.
    pub fn product(&self, x: &[f32], output: usize) -> (f64, f64) {
        let weights = &self.values[output * self.k..][..self.k];
        let exact = x.iter().zip(weights).map(|(&x, &w)| f64::from(x) * f64::from(w)).sum();
        let size: f64 = x.iter().zip(weights).map(|(&x, &w)| f64::from((x * w).abs())).sum();
        let rounding = size * self.k as f64 * f64::from(f32::EPSILON);
        (exact, rounding + self.activation_error(x, weights))
    }

    fn activation_error(&self, x: &[f32], weights: &[f32]) -> f64 {
        let sum = |weights: &[f32]| weights.iter().map(|&w| f64::from(w.abs())).sum::<f64>();
        match self.dtype {
            Dtype::F32 | Dtype::F16 => 0.0,
            Dtype::BF16 => x.iter().zip(weights).map(|(&x, &w)| f64::from((x * w).abs()) / 256.0).sum(),
            // A little more than half a step; those with minima also take the sum of rounded inputs times these, which
            // are as large as the values.
            _ => {
                let step = |x: &[f32]| f64::from(x.iter().fold(0.0f32, |a, &b| a.max(b.abs()))) / 127.0;
                let with_minima = [Dtype::Q4_1, Dtype::Q5_1, Dtype::Q2_K, Dtype::Q4_K, Dtype::Q5_K];
                let slack = if with_minima.contains(&self.dtype) { 3.0 } else { 1.0 };
                let blocks = x.chunks(32).zip(weights.chunks(32));
                blocks.map(|(x, w)| 0.501 * slack * step(x) * sum(w)).sum()
            }
        }
    }
}
