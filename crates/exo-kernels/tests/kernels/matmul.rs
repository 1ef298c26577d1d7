//! Products of every type on every instruction set of this machine, against double precision.

use crate::common::{Noise, cpus};
use crate::stored::Stored;
use exo_kernels::{Activations, Cpu, Dtype, Isa, Product, Weights, matmul};
use proptest::prelude::*;

fn product(cpu: &Cpu, weights: &Weights, x: &[f32]) -> Vec<f32> {
    let mut activations = Activations::new();
    activations.fill(cpu, x, &[weights]);
    let mut out = vec![f32::NAN; activations.rows() * weights.n()];
    matmul(cpu, &activations, &mut [Product::write(weights, &mut out)]);
    out
}

#[track_caller]
fn check(cpu: &Cpu, dtype: Dtype, m: usize, n: usize, k: usize) {
    let stored = Stored::random(dtype, n, k, (m * n + k) as u64);
    let x = Noise::new(7).floats(m * k);
    let out = product(cpu, &stored.pack(cpu), &x);
    for (row, x) in x.chunks(k).enumerate() {
        for output in 0..n {
            let (exact, bound) = stored.product(x, output);
            let error = (f64::from(out[row * n + output]) - exact).abs();
            let place = format!("{} {dtype} {m}x{n}x{k} row {row} output {output}", cpu.isa());
            assert!(error <= bound, "{place}: error {error}, bound {bound}, exact {exact}");
        }
    }
}

#[test]
fn products_are_within_the_rounding_of_the_activations() {
    for cpu in cpus(2) {
        for dtype in Dtype::ALL {
            for (m, n) in [(1, 16), (1, 7), (1, 200), (2, 33), (3, 48), (5, 16), (17, 65), (37, 40)] {
                check(&cpu, dtype, m, n, 256 * (1 + m % 3));
            }
        }
    }
}

#[test]
fn float_products_take_any_number_of_inputs() {
    for cpu in cpus(1) {
        for dtype in [Dtype::F32, Dtype::F16, Dtype::BF16] {
            for (m, k) in [(1, 1), (1, 31), (4, 3), (9, 63)] {
                check(&cpu, dtype, m, 19, k);
            }
        }
    }
}

#[test]
fn a_row_has_the_same_bits_alone_in_a_batch_and_on_any_number_of_threads() {
    for (one, three) in cpus(1).iter().zip(&cpus(3)) {
        for dtype in Dtype::ALL {
            let stored = Stored::random(dtype, 75, 512, 3);
            let x = Noise::new(11).floats(41 * 512);
            let batch = product(three, &stored.pack(three), &x);
            let weights = stored.pack(one);
            for rows in [1, 2, 3, 8, 16, 33] {
                let part = product(one, &weights, &x[..rows * 512]);
                assert!(part == batch[..rows * 75], "{} {dtype} {rows} rows", one.isa());
            }
        }
    }
}

#[test]
fn instruction_sets_with_fused_multiply_add_agree_in_every_bit() {
    let cpus = cpus(1);
    let fused: Vec<_> = cpus.iter().filter(|cpu| cpu.isa() != Isa::Portable).collect();
    for dtype in Dtype::ALL.into_iter().filter(|&dtype| dtype != Dtype::BF16) {
        let stored = Stored::random(dtype, 75, 512, 13);
        let x = Noise::new(17).floats(20 * 512);
        let out: Vec<_> = fused.iter().map(|cpu| product(cpu, &stored.pack(cpu), &x)).collect();
        for (cpu, other) in fused.iter().zip(&out) {
            assert!(*other == out[0], "{dtype}: {} differs from {}", cpu.isa(), fused[0].isa());
        }
    }
}

#[test]
fn products_that_share_activations_are_those_computed_alone() {
    for cpu in cpus(2) {
        let stored =
            [(Dtype::Q4_K, 40), (Dtype::Q6_K, 16), (Dtype::BF16, 9)].map(|(d, n)| Stored::random(d, n, 256, 5));
        let [a, b, c] = stored.each_ref().map(|stored| stored.pack(&cpu));
        let x = Noise::new(1).floats(3 * 256);
        let (mut out_a, mut out_b, mut out_c) = (vec![0.0; 120], vec![1.0; 48], vec![0.0; 27]);
        let mut activations = Activations::new();
        activations.fill(&cpu, &x, &[&a, &b, &c]);
        let products =
            &mut [Product::write(&a, &mut out_a), Product::add(&b, &mut out_b), Product::write(&c, &mut out_c)];
        matmul(&cpu, &activations, products);
        assert_eq!(out_a, product(&cpu, &a, &x));
        assert_eq!(out_b, product(&cpu, &b, &x).iter().map(|v| v + 1.0).collect::<Vec<_>>());
        assert_eq!(out_c, product(&cpu, &c, &x));
    }
}

#[test]
fn shares_of_a_matrix_are_its_parts() {
    for cpu in cpus(1) {
        for dtype in Dtype::ALL {
            let stored = Stored::random(dtype, 48, 768, 9);
            let x = Noise::new(2).floats(768);
            let whole = product(&cpu, &stored.pack(&cpu), &x);
            let rows = Weights::pack(&cpu, &stored.matrix().rows(17..40).expect("inside"));
            assert_eq!(product(&cpu, &rows, &x), whole[17..40], "{} {dtype}", cpu.isa());
            let parts = [0..256, 256..768].map(|cols| {
                let share = stored.matrix().cols(cols.clone()).expect("whole blocks");
                product(&cpu, &Weights::pack(&cpu, &share), &x[cols])
            });
            for (output, whole) in whole.iter().enumerate() {
                let sum = parts[0][output] + parts[1][output];
                assert!((sum - whole).abs() < 1e-4 * (1.0 + whole.abs()), "{} {dtype}: {sum} {whole}", cpu.isa());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn products_of_any_shape_are_within_the_rounding_of_the_activations(
        dtype in 0..Dtype::ALL.len(), m in 1usize..40, n in 1usize..70, blocks in 1usize..5,
    ) {
        let dtype = Dtype::ALL[dtype];
        for cpu in cpus(1) {
            check(&cpu, dtype, m, n, blocks * dtype.block_elements().max(24));
        }
    }
}
