//! How fast the kernels are on this machine, beside the memory bandwidth measured in the same run.
//!
//! `cargo run --release -p exo-kernels --example bench -- [isa] [threads] [types..]`

use std::hint::black_box;
use std::time::Instant;

use exo_kernels::{
    Activations, Attending, AttentionBounds, AttentionShape, Cpu, Dtype, Isa, KvCache, KvFormat, Matrix, Product,
    Weights,
};
use exo_kernels::{attention, matmul};

/// Larger than every cache.
const STREAM: usize = 768 << 20;
const ROUNDS: usize = 7;
/// Inputs and rows of the measured products.
const K: usize = 2048;
const ROWS: usize = 512;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let isa = arguments.first().map_or_else(Isa::detect, |name| name.parse().expect("a name of an instruction set"));
    let threads = arguments.get(1).map_or(2, |n| n.parse().expect("a number of threads"));
    let cpu = Cpu::new(isa, threads, true).expect("this machine has it");
    cpu.pool().pin_caller();
    println!("{isa}, {threads} threads");
    let bandwidth = read_bandwidth(&cpu);
    println!("memory: {bandwidth:.1} GB/s read");
    for dtype in Dtype::ALL {
        if arguments.len() <= 2 || arguments[2..].iter().any(|name| name == dtype.name()) {
            product(&cpu, dtype, bandwidth);
        }
    }
    for context in [128, 2048, 8192] {
        attend(&cpu, KvFormat::F16, context);
        attend(&cpu, KvFormat::Q8, context);
    }
}

/// The best of some rounds, in seconds.
fn best(mut job: impl FnMut()) -> f64 {
    let mut time = || {
        let start = Instant::now();
        job();
        start.elapsed().as_secs_f64()
    };
    (0..ROUNDS).map(|_| time()).fold(f64::INFINITY, f64::min)
}

fn read_bandwidth(cpu: &Cpu) -> f64 {
    let memory = vec![1u64; STREAM / 8];
    let seconds = best(|| {
        cpu.pool().chunks(memory.len(), 1 << 16, |_, range| {
            black_box(memory[range].iter().fold(0u64, |a, &b| a ^ b));
        });
    });
    STREAM as f64 / seconds * 1e-9
}

fn product(cpu: &Cpu, dtype: Dtype, bandwidth: f64) {
    let row_bytes = K / dtype.block_elements() * dtype.block_bytes();
    let n = ((400 << 20) / row_bytes).next_multiple_of(16);
    let bytes = stored(dtype, n * row_bytes);
    let matrix = Matrix::new(dtype, n, K, &bytes).expect("sizes fit");
    let start = Instant::now();
    let weights = Weights::pack(cpu, &matrix);
    let pack = bytes.len() as f64 / start.elapsed().as_secs_f64() * 1e-9;
    let decode = weights.bytes() as f64 / rows(cpu, &weights, 1) * 1e-9;
    let four = weights.bytes() as f64 / rows(cpu, &weights, 4) * 1e-9;
    let prefill_n = 8192;
    let share = Weights::pack(cpu, &matrix.rows(0..prefill_n).expect("inside"));
    let prefill = 2.0 * (ROWS * K * prefill_n) as f64 / rows(cpu, &share, ROWS) * 1e-9;
    println!(
        "{dtype}: 1 row {decode:.1} GB/s ({:.0} % of memory), 4 rows {four:.1} GB/s, {ROWS} rows {prefill:.0} GFLOP/s, packed at {pack:.2} GB/s",
        100.0 * decode / bandwidth
    );
}

/// Any weights, none of them so small that the arithmetic is slow.
fn stored(dtype: Dtype, length: usize) -> Vec<u8> {
    let pattern: &[u8] = match dtype {
        Dtype::F32 => &[0, 0, 0x10, 0x3f],
        Dtype::F16 => &[0x10, 0x38],
        Dtype::BF16 => &[0x10, 0x3f],
        // Bytes below 64 make finite numbers in the quantised types.
        _ => &[17, 33, 5, 42, 60, 11, 29],
    };
    pattern.iter().copied().cycle().take(length).collect()
}

/// Seconds for a product of `m` rows, activations converted anew each time.
fn rows(cpu: &Cpu, weights: &Weights, m: usize) -> f64 {
    let x: Vec<f32> = (0..m * weights.k()).map(|i| (i * 7919 % 1000) as f32 * 1e-3 - 0.5).collect();
    let mut out = vec![0.0; m * weights.n()];
    let mut activations = Activations::new();
    best(|| {
        activations.fill(cpu, &x, &[weights]);
        matmul(cpu, &activations, &mut [Product::write(weights, &mut out)]);
    })
}

/// 32 heads of 64 in groups of four, as in a model of one billion parameters.
fn attend(cpu: &Cpu, format: KvFormat, context: usize) {
    let shape = AttentionShape { n_heads: 32, n_kv_heads: 8, head_dim: 64, scale: 0.125 };
    let mut cache = KvCache::new(format, 8, 64);
    let new: Vec<f32> = (0..context * 512).map(|i| (i * 31 % 1000) as f32 * 1e-3 - 0.5).collect();
    let append = best(|| {
        cache.truncate(0);
        cache.append(cpu, &new, &new);
    });
    let time = |rows: usize| {
        let q = &new.iter().cycle().copied().take(rows * 2048).collect::<Vec<_>>();
        let mut out = vec![0.0; rows * 2048];
        best(|| attention(cpu, &shape, &AttentionBounds::default(), q, &[Attending { cache: &cache, rows }], &mut out))
    };
    let (one, block) = (time(1), time(128));
    let gigabytes = cache.bytes() as f64 * 1e-9;
    println!(
        "attention over {context} as {format:?}: 1 row {:.1} µs ({:.1} GB/s), 128 rows {:.2} ms, append {:.2} µs per row",
        one * 1e6,
        gigabytes / one,
        block * 1e3,
        append * 1e6 / context as f64
    );
}
